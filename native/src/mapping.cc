// Memory: device windows and DMA arenas as ArrayBuffers. A mapping lives until `unmap`, which
// detaches its ArrayBuffer: every view of it then has length 0 and cannot touch what comes after.
#include "mapping.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "bus_guard.h"
#include "bytes_argument.h"
#include "errno_value.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004U
#endif

namespace {

struct Mapping {
  size_t length;
  int guard;
};

std::mutex lock;
std::map<void*, Mapping> live;

Napi::Value adopt(Napi::Env env, void* address, size_t length, int guard) {
  {
    std::lock_guard<std::mutex> held(lock);
    live[address] = {length, guard};
  }
  // No finalizer: the owner unmaps. Garbage collection must not touch hardware.
  return Napi::ArrayBuffer::New(env, address, length, [](Napi::Env, void*) {});
}

/// map(fd, offset, length, isWritable, isGuarded): ArrayBuffer, or a negative error number
Napi::Value map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const size_t length = info[2].As<Napi::Number>().Int64Value();
  const int protection = PROT_READ | (info[3].ToBoolean() ? PROT_WRITE : 0);
  void* address = mmap(nullptr, length, protection, MAP_SHARED,
                       info[0].As<Napi::Number>().Int32Value(),
                       info[1].As<Napi::Number>().Int64Value());
  if (address == MAP_FAILED) return Napi::Number::New(env, -errno);
  int guard = -1;
  if (info[4].ToBoolean()) {
    guard = bus_guard::add(address, length);
    if (guard < 0) {
      munmap(address, length);
      return Napi::Number::New(env, guard);
    }
  }
  madvise(address, length, MADV_DONTFORK);
  return adopt(env, address, length, guard);
}

/// arena(length, isHuge): ArrayBuffer of zeroes that no forked child inherits, or an error number
Napi::Value arena(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const size_t length = info[0].As<Napi::Number>().Int64Value();
  const int huge = info[1].ToBoolean() ? MAP_HUGETLB : 0;
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | huge, -1, 0);
  if (address == MAP_FAILED) return Napi::Number::New(env, -errno);
  madvise(address, length, MADV_DONTFORK);
  return adopt(env, address, length, -1);
}

/// view(address, length): another ArrayBuffer over a live mapping, for a worker thread
Napi::Value view(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* address = reinterpret_cast<void*>(info[0].As<Napi::Number>().Int64Value());
  const size_t length = info[1].As<Napi::Number>().Int64Value();
  std::lock_guard<std::mutex> held(lock);
  const auto found = live.find(address);
  if (found == live.end() || found->second.length < length) return Napi::Number::New(env, -EINVAL);
  return Napi::ArrayBuffer::New(env, address, length, [](Napi::Env, void*) {});
}

Napi::Value unmap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  void* address = buffer.Data();
  Mapping mapping = {};
  {
    std::lock_guard<std::mutex> held(lock);
    const auto found = live.find(address);
    if (found == live.end()) return Napi::Number::New(env, -EINVAL);
    mapping = found->second;
    live.erase(found);
  }
  buffer.Detach();
  if (mapping.guard >= 0) bus_guard::remove(mapping.guard);
  return Napi::Number::New(env, orErrno(munmap(address, mapping.length)));
}

Napi::Value addressOf(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[0]);
  return Napi::Number::New(info.Env(), static_cast<double>(reinterpret_cast<uintptr_t>(bytes.data)));
}

/// Whether the device behind a guarded window stopped answering.
Napi::Value wasHit(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> held(lock);
  const auto found = live.find(info[0].As<Napi::ArrayBuffer>().Data());
  const bool isHit = found != live.end() && bus_guard::wasHit(found->second.guard);
  return Napi::Boolean::New(info.Env(), isHit);
}

Napi::Value memlockLimit(const Napi::CallbackInfo& info) {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const double bytes =
      limit.rlim_cur == RLIM_INFINITY ? 9007199254740991.0 : static_cast<double>(limit.rlim_cur);
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Value pageBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

void exportMapping(Napi::Env env, Napi::Object exports) {
  exports.Set("map", Napi::Function::New(env, map));
  exports.Set("arena", Napi::Function::New(env, arena));
  exports.Set("view", Napi::Function::New(env, view));
  exports.Set("unmap", Napi::Function::New(env, unmap));
  exports.Set("addressOf", Napi::Function::New(env, addressOf));
  exports.Set("wasHit", Napi::Function::New(env, wasHit));
  exports.Set("memlockLimit", Napi::Function::New(env, memlockLimit));
  exports.Set("pageBytes", Napi::Function::New(env, pageBytes));
}
