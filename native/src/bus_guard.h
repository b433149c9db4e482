#pragma once

#include <cstddef>

/// A device window whose device may vanish or be powered down: the processor then raises SIGBUS on
/// an access. The guard puts a page of ones under the whole window and lets the access go on, so
/// that the program reads all-ones, as from a device that is gone, and lives.
namespace bus_guard {

/// @returns a slot for `wasHit` and `remove`, or a negative error number when all are taken
int add(void* address, size_t length);
bool wasHit(int slot);
void remove(int slot);

}  // namespace bus_guard
