#pragma once

#include <cerrno>

/// A system call's result as the kernel gives it: the value, or the negative error number.
/// The façade in TypeScript turns negative numbers into errors; nothing here throws.
template <typename Value>
long orErrno(Value value) {
  return value == static_cast<Value>(-1) ? -static_cast<long>(errno) : static_cast<long>(value);
}
