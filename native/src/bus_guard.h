#pragma once

#include <cstddef>

/// Memory that may stop answering: a device window whose device vanishes or is powered down, a file
/// that another process cuts short. The processor then raises SIGBUS on an access. The guard puts
/// private pages under the whole range and lets the access go on, so that the program lives: ones
/// for a window, as from a device that is gone, zeroes for memory.
namespace bus_guard {

enum class Fill { ones, zeroes };

/// @returns a slot for `wasHit` and `remove`, or a negative error number when all are taken
int add(void* address, size_t length, Fill fill);
bool wasHit(int slot);
void remove(int slot);

}  // namespace bus_guard
