#include <napi.h>

#include "clock.h"
#include "event.h"
#include "file.h"
#include "mapping.h"
#include "null_controller.h"
#include "shared_memory.h"
#include "socket.h"
#include "tcp.h"
#include "words_watch.h"

namespace {

// Moves on with every change of what the addon exports or expects, here and in native/load.ts: an
// older build must be refused with a word, not crash.
constexpr double interfaceVersion = 7;

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("interfaceVersion", Napi::Number::New(env, interfaceVersion));
  exportFile(env, exports);
  exportMapping(env, exports);
  exportClock(env, exports);
  exportEvent(env, exports);
  exportSocket(env, exports);
  exportTcp(env, exports);
  exportSharedMemory(env, exports);
  exportNullController(env, exports);
  exportWordsWatch(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ultima, initialise)
