// UNIX stream sockets that carry descriptors beside bytes, which node:net cannot receive. None of
// them blocks: a call that would have to wait is a negative error number, and `waitFor` waits.
#include "socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "bytes_argument.h"
#include "errno_value.h"
#include "flag_argument.h"
#include "owned_fd.h"

namespace {

/// The kernel carries no more with one message [Linux net/scm.h SCM_MAX_FD].
constexpr size_t descriptorLimit = 253;

/// Room for what comes beside the bytes of one message.
struct ControlBuffer {
  alignas(cmsghdr) char bytes[CMSG_SPACE(descriptorLimit * sizeof(int))];
};

int fdArgument(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

OwnedFd newSocket() {
  return OwnedFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// The address of a path that the caller has checked to fit.
sockaddr_un addressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

/// socketListen(path, backlog): descriptor
Napi::Value socketListen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const sockaddr_un address = addressOf(info[0].As<Napi::String>());
  OwnedFd socket = newSocket();
  if (!socket.isOpen() ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), fdArgument(info[1])) != 0) {
    return Napi::Number::New(env, -errno);
  }
  return Napi::Number::New(env, socket.release());
}

/// socketConnect(path): descriptor
Napi::Value socketConnect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const sockaddr_un address = addressOf(info[0].As<Napi::String>());
  OwnedFd socket = newSocket();
  if (!socket.isOpen() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Napi::Number::New(env, -errno);
  }
  return Napi::Number::New(env, socket.release());
}

Napi::Value socketAccept(const Napi::CallbackInfo& info) {
  const int fd = ::accept4(fdArgument(info[0]), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return Napi::Number::New(info.Env(), orErrno(fd));
}

/// socketPair(ends: Int32Array): 0, and the descriptors of two connected sockets in `ends`
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  auto* ends = reinterpret_cast<int*>(BytesArgument(info[0]).data);
  const int result = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
  return Napi::Number::New(info.Env(), orErrno(result));
}

/// socketPeer(fd): number of the process that connected or listens
Napi::Value socketPeer(const Napi::CallbackInfo& info) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  const int result = ::getsockopt(fdArgument(info[0]), SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return Napi::Number::New(info.Env(), result == 0 ? peer.pid : -errno);
}

/// socketSend(fd, bytes, fds: Int32Array): bytes sent. The descriptors go with the first of them
/// and stay the caller's.
Napi::Value socketSend(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[1]);
  const BytesArgument fds(info[2]);
  iovec part = {bytes.data, bytes.length};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlBuffer control = {};
  if (fds.length > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.length);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.length);
    std::memcpy(CMSG_DATA(header), fds.data, fds.length);
  }
  ssize_t count = 0;
  do {
    count = ::sendmsg(fdArgument(info[0]), &message, MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  return Napi::Number::New(info.Env(), orErrno(count));
}

/// Puts what a message carries into `kept` and closes what does not fit. @returns how many it was
int takeDescriptors(msghdr* message, int* kept, size_t keptLimit) {
  size_t count = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t carried = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < carried; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      if (count < keptLimit) {
        kept[count] = fd;
      } else {
        ::close(fd);
      }
      count++;
    }
  }
  return static_cast<int>(count);
}

/// socketReceive(fd, bytes, fds: Int32Array): bytes received, 0 at the end of the stream. fds[0] is
/// how many descriptors came; they follow it, and those beyond the array's end are closed.
Napi::Value socketReceive(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[1]);
  const BytesArgument fds(info[2]);
  auto* descriptors = reinterpret_cast<int*>(fds.data);
  iovec part = {bytes.data, bytes.length};
  ControlBuffer control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t count = 0;
  do {
    count = ::recvmsg(fdArgument(info[0]), &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  const long result = orErrno(count);
  descriptors[0] = 0;
  if (result >= 0) {
    descriptors[0] =
        takeDescriptors(&message, descriptors + 1, fds.length / sizeof(int) - 1);
  }
  return Napi::Number::New(info.Env(), result);
}

/// waitFor(fd, isForWriting, timeoutMs): 1 when it is ready or its peer is gone, 0 when the time is
/// over or a signal came
Napi::Value waitFor(const Napi::CallbackInfo& info) {
  pollfd entry = {};
  entry.fd = fdArgument(info[0]);
  entry.events = flagArgument(info[1]) ? POLLOUT : POLLIN;
  const int result = ::poll(&entry, 1, info[2].As<Napi::Number>().Int32Value());
  if (result < 0 && errno == EINTR) return Napi::Number::New(info.Env(), 0);
  return Napi::Number::New(info.Env(), orErrno(result));
}

}  // namespace

void exportSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("socketListen", Napi::Function::New(env, socketListen));
  exports.Set("socketConnect", Napi::Function::New(env, socketConnect));
  exports.Set("socketAccept", Napi::Function::New(env, socketAccept));
  exports.Set("socketPair", Napi::Function::New(env, socketPair));
  exports.Set("socketPeer", Napi::Function::New(env, socketPeer));
  exports.Set("socketSend", Napi::Function::New(env, socketSend));
  exports.Set("socketReceive", Napi::Function::New(env, socketReceive));
  exports.Set("waitFor", Napi::Function::New(env, waitFor));
}
