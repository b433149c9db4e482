#include <napi.h>

#include "event.h"
#include "file.h"
#include "mapping.h"
#include "null_controller.h"

namespace {

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exportFile(env, exports);
  exportMapping(env, exports);
  exportEvent(env, exports);
  exportNullController(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ultima, initialise)
