#pragma once

#include <napi.h>

/// Whether a boolean argument is true; one that was left out is false. Unlike `ToBoolean` this never
/// runs JavaScript, which fails in a worker that is being terminated.
inline bool flagArgument(const Napi::Value& value) {
  bool flag = false;
  napi_get_value_bool(value.Env(), value, &flag);
  return flag;
}
