// The machine's monotonic clock, for data paths: a look at it allocates nothing.
#include "clock.h"

#include <ctime>

namespace {

/// A number that is returned would be put on the heap, so the time goes into the function's cell.
napi_value readClock(napi_env env, napi_callback_info info) {
  void* cell = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &cell) != napi_ok) return nullptr;
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  *static_cast<double*>(cell) = static_cast<double>(time.tv_sec) * 1e9 + time.tv_nsec;
  return nullptr;
}

/// newClock(): a function that puts nanoseconds into its property cell, a Float64Array of one
Napi::Value newClock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto cell = Napi::Float64Array::New(env, 1);
  napi_value function = nullptr;
  if (napi_create_function(env, nullptr, 0, readClock, cell.Data(), &function) != napi_ok) {
    return env.Null();
  }
  // Not to be replaced or removed: it keeps the memory that the function writes.
  auto clock = Napi::Object(env, function);
  clock.DefineProperty(Napi::PropertyDescriptor::Value("cell", cell, napi_enumerable));
  return clock;
}

}  // namespace

void exportClock(Napi::Env env, Napi::Object exports) {
  exports.Set("newClock", Napi::Function::New(env, newClock));
}
