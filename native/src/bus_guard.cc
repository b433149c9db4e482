#include "bus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace bus_guard {
namespace {

// As many as Linux lets a process have mappings unless told otherwise (vm.max_map_count).
constexpr int slotCount = 65536;

// Read by the signal handler: each slot is published by the store of its length and withdrawn by
// storing 0, so the handler never sees a half-written one.
struct Slot {
  std::atomic<uintptr_t> start{0};
  std::atomic<size_t> length{0};
  std::atomic<bool> isTaken{false};
  std::atomic<bool> isHit{false};
  std::atomic<bool> isOnes{false};
};

Slot slots[slotCount];
/// Where to look for a free slot first, so that the many regions of a peer take linear time.
std::atomic<int> nextSlot{0};
struct sigaction previous;
std::mutex installing;
bool isInstalled = false;

/// Only async-signal-safe calls. No jump out of the frame: JavaScript may stand on the stack.
void onBusError(int number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : slots) {
    const size_t length = slot.length.load(std::memory_order_acquire);
    const uintptr_t start = slot.start.load(std::memory_order_relaxed);
    if (length == 0 || address < start || address >= start + length) continue;
    void* page = mmap(reinterpret_cast<void*>(start), length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (page == MAP_FAILED) break;
    if (slot.isOnes.load(std::memory_order_relaxed)) memset(page, 0xff, length);
    slot.isHit.store(true, std::memory_order_release);
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // Not ours: die of it, as if this handler had never been there.
    signal(number, SIG_DFL);
    raise(number);
  }
}

// Not std::call_once: it works through thread-local variables of libstdc++, and in a Node that has
// libstdc++ inside, half of its code is Node's and half ours, each with variables of its own.
void install() {
  const std::lock_guard<std::mutex> held(installing);
  if (isInstalled) return;
  isInstalled = true;
  struct sigaction action = {};
  action.sa_sigaction = onBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGBUS, &action, &previous);
}

}  // namespace

int add(void* address, size_t length, Fill fill) {
  install();
  const int first = nextSlot.load();
  for (int tried = 0; tried < slotCount; tried++) {
    const int i = (first + tried) % slotCount;
    bool isTaken = false;
    if (!slots[i].isTaken.compare_exchange_strong(isTaken, true)) continue;
    nextSlot.store((i + 1) % slotCount);
    slots[i].isHit.store(false);
    slots[i].isOnes.store(fill == Fill::ones);
    slots[i].start.store(reinterpret_cast<uintptr_t>(address));
    slots[i].length.store(length, std::memory_order_release);
    return i;
  }
  return -ENOSPC;
}

bool wasHit(int slot) {
  return slot >= 0 && slot < slotCount && slots[slot].isHit.load(std::memory_order_acquire);
}

void remove(int slot) {
  if (slot < 0 || slot >= slotCount) return;
  slots[slot].length.store(0, std::memory_order_release);
  slots[slot].isTaken.store(false);
}

}  // namespace bus_guard
