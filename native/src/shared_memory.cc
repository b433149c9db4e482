// Memory that has a descriptor, so that another process can be given it.
#include "shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "errno_value.h"
#include "owned_fd.h"

namespace {

int fdArgument(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

/// memfd(name, length): descriptor of zeroes
Napi::Value memfd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = info[0].As<Napi::String>();
  OwnedFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.isOpen() || ::ftruncate(fd.get(), info[1].As<Napi::Number>().Int64Value()) != 0) {
    return Napi::Number::New(env, -errno);
  }
  return Napi::Number::New(env, fd.release());
}

/// fileSeal(fd): nobody changes the size of the memory any more, nor takes this promise back
Napi::Value fileSeal(const Napi::CallbackInfo& info) {
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  return Napi::Number::New(info.Env(),
                           orErrno(::fcntl(fdArgument(info[0]), F_ADD_SEALS, seals)));
}

/// fileIsSealed(fd): 1 when the memory can never shrink
Napi::Value fileIsSealed(const Napi::CallbackInfo& info) {
  const int seals = ::fcntl(fdArgument(info[0]), F_GET_SEALS);
  if (seals < 0) return Napi::Number::New(info.Env(), -errno);
  return Napi::Number::New(info.Env(), (seals & F_SEAL_SHRINK) != 0 ? 1 : 0);
}

/// fileBytes(fd): size of a regular file or of memory; -EINVAL for anything else
Napi::Value fileBytes(const Napi::CallbackInfo& info) {
  struct stat status = {};
  if (::fstat(fdArgument(info[0]), &status) != 0) return Napi::Number::New(info.Env(), -errno);
  if (!S_ISREG(status.st_mode)) return Napi::Number::New(info.Env(), -EINVAL);
  return Napi::Number::New(info.Env(), static_cast<double>(status.st_size));
}

/// Copies bytes from..end of a file to the same place in another. @returns 0 or -errno
long copyRange(int source, int target, off_t from, off_t end) {
  std::vector<char> block(1 << 18);
  while (from < end) {
    const size_t wanted = std::min<off_t>(end - from, static_cast<off_t>(block.size()));
    const ssize_t count = ::pread(source, block.data(), wanted, from);
    if (count <= 0) return count == 0 ? 0 : -errno;
    if (::pwrite(target, block.data(), count, from) != count) return -errno;
    from += count;
  }
  return 0;
}

/// copyMemory(source, target): what has been written of one memfd into another of the same size
Napi::Value copyMemory(const Napi::CallbackInfo& info) {
  const int source = fdArgument(info[0]);
  const int target = fdArgument(info[1]);
  off_t end = 0;
  for (;;) {
    const off_t start = ::lseek(source, end, SEEK_DATA);
    // No data after this: ENXIO.
    if (start < 0) return Napi::Number::New(info.Env(), errno == ENXIO ? 0 : -errno);
    end = ::lseek(source, start, SEEK_HOLE);
    if (end < 0) return Napi::Number::New(info.Env(), -errno);
    const long result = copyRange(source, target, start, end);
    if (result < 0) return Napi::Number::New(info.Env(), result);
  }
}

}  // namespace

void exportSharedMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("memfd", Napi::Function::New(env, memfd));
  exports.Set("copyMemory", Napi::Function::New(env, copyMemory));
  exports.Set("fileSeal", Napi::Function::New(env, fileSeal));
  exports.Set("fileIsSealed", Napi::Function::New(env, fileIsSealed));
  exports.Set("fileBytes", Napi::Function::New(env, fileBytes));
}
