// TCP sockets in batches: one crossing looks at all of them and receives from those that have
// something, one crossing sends all that was collected for one. None of them blocks.
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "bytes_argument.h"
#include "errno_value.h"
#include "flag_argument.h"
#include "owned_fd.h"

namespace {

/// With so few connections asking each of them costs less than asking which to ask.
constexpr size_t fewConnections = 2;
constexpr int eventLimit = 16;
/// Looks that found nothing, one after the other, before others may run.
constexpr int looksBeforeYield = 16;
/// What of a connection is waited for: bits of `setWanted`.
constexpr int wantsReading = 1;
constexpr int wantsWriting = 2;

struct Address {
  sockaddr_storage storage = {};
  socklen_t length = 0;
};

/// The address of a number, IPv4 or IPv6; length 0 for what is none.
Address addressOf(const std::string& text, int port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *four;
  } else if (::inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *six;
  }
  return address;
}

int intArgument(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

OwnedFd newSocket(const Address& address) {
  const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return OwnedFd(::socket(address.storage.ss_family, type, IPPROTO_TCP));
}

void setOption(int fd, int level, int name) {
  const int one = 1;
  ::setsockopt(fd, level, name, &one, sizeof one);
}

/// tcpListen(address, port, backlog): descriptor
Napi::Value tcpListen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Address address = addressOf(info[0].As<Napi::String>(), intArgument(info[1]));
  if (address.length == 0) return Napi::Number::New(env, -EINVAL);
  OwnedFd socket = newSocket(address);
  if (socket.isOpen()) setOption(socket.get(), SOL_SOCKET, SO_REUSEADDR);
  const auto* place = reinterpret_cast<const sockaddr*>(&address.storage);
  if (!socket.isOpen() || ::bind(socket.get(), place, address.length) != 0 ||
      ::listen(socket.get(), intArgument(info[2])) != 0) {
    return Napi::Number::New(env, -errno);
  }
  return Napi::Number::New(env, socket.release());
}

/// tcpAccept(fd): descriptor
Napi::Value tcpAccept(const Napi::CallbackInfo& info) {
  const int fd = ::accept4(intArgument(info[0]), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    setOption(fd, IPPROTO_TCP, TCP_NODELAY);
    setOption(fd, SOL_SOCKET, SO_KEEPALIVE);
  }
  return Napi::Number::New(info.Env(), orErrno(fd));
}

/// tcpConnect(address, port): descriptor of a socket that may still be connecting
Napi::Value tcpConnect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Address address = addressOf(info[0].As<Napi::String>(), intArgument(info[1]));
  if (address.length == 0) return Napi::Number::New(env, -EINVAL);
  OwnedFd socket = newSocket(address);
  if (!socket.isOpen()) return Napi::Number::New(env, -errno);
  setOption(socket.get(), IPPROTO_TCP, TCP_NODELAY);
  setOption(socket.get(), SOL_SOCKET, SO_KEEPALIVE);
  const auto* place = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.get(), place, address.length) != 0 && errno != EINPROGRESS) {
    return Napi::Number::New(env, -errno);
  }
  return Napi::Number::New(env, socket.release());
}

/// tcpError(fd): 0, or the negative error number of what has become of a connection
Napi::Value tcpError(const Napi::CallbackInfo& info) {
  int error = 0;
  socklen_t length = sizeof error;
  const int fd = intArgument(info[0]);
  const int result = ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return Napi::Number::New(info.Env(), result == 0 ? -error : -errno);
}

/// tcpName(fd, isPeer): 'ADDRESS:PORT', '' for a socket that has none
Napi::Value tcpName(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  auto* place = reinterpret_cast<sockaddr*>(&storage);
  const int fd = intArgument(info[0]);
  const int result = flagArgument(info[1]) ? ::getpeername(fd, place, &length)
                                         : ::getsockname(fd, place, &length);
  if (result != 0) return Napi::String::New(env, "");
  char text[INET6_ADDRSTRLEN] = {};
  int port = 0;
  if (storage.ss_family == AF_INET6) {
    const auto* six = reinterpret_cast<const sockaddr_in6*>(&storage);
    ::inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
    port = ntohs(six->sin6_port);
  } else {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    port = ntohs(four->sin_port);
  }
  return Napi::String::New(env, std::string(text) + ":" + std::to_string(port));
}

/// tcpSend(fd, bytes, from, to): bytes sent
Napi::Value tcpSend(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* data = nullptr;
  napi_get_typedarray_info(env, info[1], nullptr, nullptr, &data, nullptr, nullptr);
  const auto from = static_cast<size_t>(intArgument(info[2]));
  const auto to = static_cast<size_t>(intArgument(info[3]));
  const auto* bytes = static_cast<const char*>(data);
  ssize_t count = 0;
  do {
    count = ::send(intArgument(info[0]), bytes + from, to - from, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return Napi::Number::New(env, orErrno(count));
}

/// copyBytes(source, from, target, to, length): the ranges were checked; they may overlap
Napi::Value copyBytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* source = nullptr;
  void* target = nullptr;
  napi_get_typedarray_info(env, info[0], nullptr, nullptr, &source, nullptr, nullptr);
  napi_get_typedarray_info(env, info[2], nullptr, nullptr, &target, nullptr, nullptr);
  // A region of a user may be larger than 2 GiB.
  const auto place = [&info](size_t i) { return info[i].As<Napi::Number>().Int64Value(); };
  std::memmove(static_cast<char*>(target) + place(3), static_cast<const char*>(source) + place(1),
               static_cast<size_t>(place(4)));
  return env.Undefined();
}

/// tcpShutdown(fd): nothing more will be sent
Napi::Value tcpShutdown(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), orErrno(::shutdown(intArgument(info[0]), SHUT_WR)));
}

/// new TcpBatch(memory, places, table: Int32Array): memory for what is received is divided into
/// places; of each place that was filled the table says whose it is and how much.
class TcpBatch : public Napi::ObjectWrap<TcpBatch> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "TcpBatch",
                       {InstanceMethod("add", &TcpBatch::add),
                        InstanceMethod("setWanted", &TcpBatch::setWanted),
                        InstanceMethod("remove", &TcpBatch::remove),
                        InstanceMethod("poll", &TcpBatch::poll),
                        InstanceMethod("close", &TcpBatch::close),
                        InstanceAccessor("fd", &TcpBatch::fd, nullptr)});
  }

  explicit TcpBatch(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<TcpBatch>(info), epoll_(IsEmpty() ? -1 : ::epoll_create1(EPOLL_CLOEXEC)) {
    if (IsEmpty()) return;  // this worker is being terminated
    const BytesArgument memory(info[0]);
    const BytesArgument table(info[2]);
    places_ = static_cast<size_t>(intArgument(info[1]));
    placeBytes_ = memory.length / places_;
    memory_ = memory.data;
    table_ = reinterpret_cast<int32_t*>(table.data);
    keepMemory_ = Napi::Persistent(info[0].As<Napi::Object>());
    keepTable_ = Napi::Persistent(info[2].As<Napi::Object>());
  }

 private:
  struct Member {
    int fd;
    int id;
    int wanted;
  };

  Napi::Value fd(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), epoll_.get());
  }

  /// add(fd, id)
  Napi::Value add(const Napi::CallbackInfo& info) {
    const Member member = {intArgument(info[0]), intArgument(info[1]), wantsReading};
    const int result = control(EPOLL_CTL_ADD, member);
    if (result == 0) members_.push_back(member);
    return Napi::Number::New(info.Env(), orErrno(result));
  }

  /// setWanted(fd, id, wanted): whether bytes, and room to write, are something to wake up for
  Napi::Value setWanted(const Napi::CallbackInfo& info) {
    const Member changed = {intArgument(info[0]), intArgument(info[1]), intArgument(info[2])};
    for (Member& member : members_) {
      if (member.fd == changed.fd) member = changed;
    }
    return Napi::Number::New(info.Env(), orErrno(control(EPOLL_CTL_MOD, changed)));
  }

  /// remove(fd)
  Napi::Value remove(const Napi::CallbackInfo& info) {
    const int fd = intArgument(info[0]);
    std::erase_if(members_, [fd](const Member& member) { return member.fd == fd; });
    return Napi::Number::New(info.Env(),
                             orErrno(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr)));
  }

  /// poll(waitMs): how many places were filled
  Napi::Value poll(const Napi::CallbackInfo& info) {
    const int waitMs = intArgument(info[0]);
    filled_ = 0;
    if (waitMs == 0 && members_.size() <= fewConnections && areAllReading()) {
      for (const Member& member : members_) receive(member.fd, member.id);
    } else {
      epoll_event events[eventLimit];
      const int limit = static_cast<int>(std::min<size_t>(places_, eventLimit));
      const int count = ::epoll_wait(epoll_.get(), events, limit, waitMs);
      for (int i = 0; i < count; i++) take(events[i]);
    }
    if (filled_ > 0 || waitMs > 0) {
      emptyLooks_ = 0;
    } else if (++emptyLooks_ >= looksBeforeYield) {
      // Whoever would send something may be waiting for this processor.
      emptyLooks_ = 0;
      ::sched_yield();
    }
    return Napi::Number::New(info.Env(), static_cast<double>(filled_));
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    members_.clear();
    const int fd = epoll_.release();
    if (fd >= 0) ::close(fd);
    return info.Env().Undefined();
  }

  int control(int operation, const Member& member) {
    epoll_event event = {};
    if ((member.wanted & wantsReading) != 0) event.events |= EPOLLIN;
    if ((member.wanted & wantsWriting) != 0) event.events |= EPOLLOUT;
    event.data.u64 = (static_cast<uint64_t>(member.fd) << 32) | static_cast<uint32_t>(member.id);
    return ::epoll_ctl(epoll_.get(), operation, member.fd, &event);
  }

  bool areAllReading() const {
    return std::ranges::all_of(
        members_, [](const Member& member) { return (member.wanted & wantsReading) != 0; });
  }

  void take(const epoll_event& event) {
    const int fd = static_cast<int>(event.data.u64 >> 32);
    const int id = static_cast<int>(event.data.u64 & 0xffffffff);
    if ((event.events & EPOLLIN) != 0) {
      receive(fd, id);
    } else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) {
      // Nobody wants to receive, and nobody is there to be sent to.
      fill(id, -ECONNRESET);
    }
  }

  void receive(int fd, int id) {
    ssize_t count = 0;
    do {
      count = ::recv(fd, memory_ + filled_ * placeBytes_, placeBytes_, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN) return;
    fill(id, static_cast<int32_t>(orErrno(count)));
  }

  void fill(int id, int32_t result) {
    table_[2 * filled_] = id;
    table_[2 * filled_ + 1] = result;
    filled_++;
  }

  OwnedFd epoll_;
  std::vector<Member> members_;
  uint8_t* memory_ = nullptr;
  int32_t* table_ = nullptr;
  size_t places_ = 0;
  size_t placeBytes_ = 0;
  size_t filled_ = 0;
  int emptyLooks_ = 0;
  Napi::ObjectReference keepMemory_;
  Napi::ObjectReference keepTable_;
};

}  // namespace

void exportTcp(Napi::Env env, Napi::Object exports) {
  exports.Set("tcpListen", Napi::Function::New(env, tcpListen));
  exports.Set("tcpAccept", Napi::Function::New(env, tcpAccept));
  exports.Set("tcpConnect", Napi::Function::New(env, tcpConnect));
  exports.Set("tcpError", Napi::Function::New(env, tcpError));
  exports.Set("tcpName", Napi::Function::New(env, tcpName));
  exports.Set("tcpSend", Napi::Function::New(env, tcpSend));
  exports.Set("copyBytes", Napi::Function::New(env, copyBytes));
  exports.Set("tcpShutdown", Napi::Function::New(env, tcpShutdown));
  exports.Set("TcpBatch", TcpBatch::define(env));
}
