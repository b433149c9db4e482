// Memory: device windows and DMA arenas as ArrayBuffers. A mapping lives until `unmap`, which
// detaches its ArrayBuffer: every view of it then has length 0 and cannot touch what comes after.
//
// Worker threads look at the same memory through `view`. What they still look at when its owner
// unmaps it is replaced by private pages at the same addresses: zeroes for memory, all-ones for a
// window. A worker can be too late, but never crash the process. The same pages take the place of
// memory that its other side cuts short.
#include "mapping.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "bus_guard.h"
#include "bytes_argument.h"
#include "errno_value.h"
#include "flag_argument.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004U
#endif

namespace {

struct Mapping {
  size_t length;
  int guard;
  bool isWindow;
};

/// A view of a part of a mapping, held by a worker thread until it drops it or ends.
struct View {
  uintptr_t start;
  size_t length;
};

std::mutex lock;
std::map<void*, Mapping> live;
/// Unmapped by their owners while views of them lived; nothing but private pages.
std::map<void*, Mapping> replaced;
std::map<View*, bool> views;

bool overlaps(const View& view, void* address, size_t length) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  return view.start < start + length && start < view.start + view.length;
}

bool isViewedLocked(void* address, size_t length) {
  for (const auto& [view, isAlive] : views) {
    if (isAlive && overlaps(*view, address, length)) return true;
  }
  return false;
}

/// The live mapping that a range of addresses lies in.
std::map<void*, Mapping>::iterator mappingAround(void* address, size_t length) {
  auto found = live.upper_bound(address);
  if (found == live.begin()) return live.end();
  --found;
  const auto start = reinterpret_cast<uintptr_t>(found->first);
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  if (length > found->second.length) return live.end();
  return wanted - start <= found->second.length - length ? found : live.end();
}

/// The view is no more: its thread dropped it, or ended.
void dropLocked(View* view) {
  const auto found = views.find(view);
  if (found == views.end() || !found->second) return;
  found->second = false;
  for (auto it = replaced.begin(); it != replaced.end();) {
    if (isViewedLocked(it->first, it->second.length)) {
      ++it;
      continue;
    }
    munmap(it->first, it->second.length);
    it = replaced.erase(it);
  }
}

Napi::Value adopt(Napi::Env env, void* address, const Mapping& mapping) {
  {
    std::lock_guard<std::mutex> held(lock);
    live[address] = mapping;
  }
  // No finalizer: the owner unmaps. Garbage collection must not touch hardware.
  return Napi::ArrayBuffer::New(env, address, mapping.length, [](Napi::Env, void*) {});
}

enum class Guard { none, window, memory };

Napi::Value mapFile(const Napi::CallbackInfo& info, Guard kind) {
  const Napi::Env env = info.Env();
  const size_t length = info[2].As<Napi::Number>().Int64Value();
  const int protection = PROT_READ | (flagArgument(info[3]) ? PROT_WRITE : 0);
  void* address = mmap(nullptr, length, protection, MAP_SHARED,
                       info[0].As<Napi::Number>().Int32Value(),
                       info[1].As<Napi::Number>().Int64Value());
  if (address == MAP_FAILED) return Napi::Number::New(env, -errno);
  const bool isWindow = kind == Guard::window;
  int guard = -1;
  if (kind != Guard::none) {
    using bus_guard::Fill;
    guard = bus_guard::add(address, length, isWindow ? Fill::ones : Fill::zeroes);
    if (guard < 0) {
      munmap(address, length);
      return Napi::Number::New(env, guard);
    }
  }
  madvise(address, length, MADV_DONTFORK);
  return adopt(env, address, {length, guard, isWindow});
}

/// map(fd, offset, length, isWritable, isGuarded): ArrayBuffer, or a negative error number
Napi::Value map(const Napi::CallbackInfo& info) {
  return mapFile(info, flagArgument(info[4]) ? Guard::window : Guard::none);
}

/// mapMemory(fd, offset, length, isWritable): the same for memory that another process may cut
/// short
Napi::Value mapMemory(const Napi::CallbackInfo& info) { return mapFile(info, Guard::memory); }

/// arena(length, isHuge): ArrayBuffer of zeroes that no forked child inherits, or an error number
Napi::Value arena(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const size_t length = info[0].As<Napi::Number>().Int64Value();
  const int huge = flagArgument(info[1]) ? MAP_HUGETLB : 0;
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | huge, -1, 0);
  if (address == MAP_FAILED) return Napi::Number::New(env, -errno);
  madvise(address, length, MADV_DONTFORK);
  return adopt(env, address, {length, -1, false});
}

/// view(address, length): an ArrayBuffer over a part of a live mapping, for a worker thread
Napi::Value view(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* address = reinterpret_cast<void*>(info[0].As<Napi::Number>().Int64Value());
  const size_t length = info[1].As<Napi::Number>().Int64Value();
  View* view = nullptr;
  {
    std::lock_guard<std::mutex> held(lock);
    if (mappingAround(address, length) == live.end()) return Napi::Number::New(env, -EINVAL);
    view = new View{reinterpret_cast<uintptr_t>(address), length};
    views[view] = true;
  }
  // Runs when nothing of the thread can reach the buffer any more: at the latest when it has ended.
  // It only forgets the view; the mapping belongs to its owner.
  return Napi::ArrayBuffer::New(
      env, address, length,
      [](Napi::Env, void*, View* gone) {
        std::lock_guard<std::mutex> held(lock);
        dropLocked(gone);
        views.erase(gone);
        delete gone;
      },
      view);
}

/// dropView(buffer): detaches a view that this thread made
Napi::Value dropView(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  const auto start = reinterpret_cast<uintptr_t>(buffer.Data());
  const size_t length = buffer.ByteLength();
  buffer.Detach();
  std::lock_guard<std::mutex> held(lock);
  for (const auto& [view, isAlive] : views) {
    if (!isAlive || view->start != start || view->length != length) continue;
    dropLocked(view);
    return Napi::Number::New(info.Env(), 0);
  }
  return Napi::Number::New(info.Env(), -EINVAL);
}

/// isViewed(address, length): whether some thread has a view of any of these bytes
Napi::Value isViewed(const Napi::CallbackInfo& info) {
  auto* address = reinterpret_cast<void*>(info[0].As<Napi::Number>().Int64Value());
  const size_t length = info[1].As<Napi::Number>().Int64Value();
  std::lock_guard<std::mutex> held(lock);
  return Napi::Boolean::New(info.Env(), isViewedLocked(address, length));
}

/// What views still look at becomes private memory, in one step: no access in between can fail.
int replaceLocked(void* address, const Mapping& mapping) {
  void* pages = mmap(address, mapping.length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (pages == MAP_FAILED) return -errno;
  if (mapping.isWindow) memset(pages, 0xff, mapping.length);
  replaced[address] = mapping;
  return 0;
}

Napi::Value unmap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  void* address = buffer.Data();
  std::lock_guard<std::mutex> held(lock);
  const auto found = live.find(address);
  if (found == live.end()) return Napi::Number::New(env, -EINVAL);
  const Mapping mapping = found->second;
  live.erase(found);
  buffer.Detach();
  const bool isViewed = isViewedLocked(address, mapping.length);
  const long result =
      isViewed ? replaceLocked(address, mapping) : orErrno(munmap(address, mapping.length));
  if (mapping.guard >= 0) bus_guard::remove(mapping.guard);
  return Napi::Number::New(env, result);
}

/// remap(buffer, fd): the whole of a mapping shows another file from now on, at the same addresses,
/// without a moment in between
Napi::Value remap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* address = info[0].As<Napi::ArrayBuffer>().Data();
  std::lock_guard<std::mutex> held(lock);
  const auto found = live.find(address);
  if (found == live.end()) return Napi::Number::New(env, -EINVAL);
  void* pages = mmap(address, found->second.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     info[1].As<Napi::Number>().Int32Value(), 0);
  if (pages == MAP_FAILED) return Napi::Number::New(env, -errno);
  madvise(address, found->second.length, MADV_DONTFORK);
  return Napi::Number::New(env, 0);
}

Napi::Value addressOf(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[0]);
  return Napi::Number::New(info.Env(), static_cast<double>(reinterpret_cast<uintptr_t>(bytes.data)));
}

/// Whether the device behind a guarded window stopped answering.
Napi::Value wasHit(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> held(lock);
  const auto found = mappingAround(info[0].As<Napi::ArrayBuffer>().Data(), 1);
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
  exports.Set("mapMemory", Napi::Function::New(env, mapMemory));
  exports.Set("arena", Napi::Function::New(env, arena));
  exports.Set("view", Napi::Function::New(env, view));
  exports.Set("dropView", Napi::Function::New(env, dropView));
  exports.Set("isViewed", Napi::Function::New(env, isViewed));
  exports.Set("unmap", Napi::Function::New(env, unmap));
  exports.Set("remap", Napi::Function::New(env, remap));
  exports.Set("addressOf", Napi::Function::New(env, addressOf));
  exports.Set("wasHit", Napi::Function::New(env, wasHit));
  exports.Set("memlockLimit", Napi::Function::New(env, memlockLimit));
  exports.Set("pageBytes", Napi::Function::New(env, pageBytes));
}
