// Eventfds, and watching them from the event loop of the thread that asks.
#include "event.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>

#include "errno_value.h"
#include "flag_argument.h"

// The part of libuv's stable C interface that is used here. Node exports it, but the headers that
// come with node-api-headers do not declare it. [libuv 1.x, uv.h]
extern "C" {
struct uv_loop_s;
struct uv_handle {
  void* data;
};
using PollCallback = void (*)(uv_handle*, int status, int events);
using CloseCallback = void (*)(uv_handle*);
size_t uv_handle_size(int type);
int uv_poll_init(uv_loop_s* loop, uv_handle* handle, int fd);
int uv_poll_start(uv_handle* handle, int events, PollCallback callback);
int uv_poll_stop(uv_handle* handle);
void uv_close(uv_handle* handle, CloseCallback callback);
void uv_ref(uv_handle* handle);
void uv_unref(uv_handle* handle);
}

namespace {

constexpr int uvPollType = 8;  // UV_POLL
constexpr int uvReadable = 1;  // UV_READABLE
constexpr int uvWritable = 2;  // UV_WRITABLE

Napi::Value newEventfd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), orErrno(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

/// takeEvent(fd): how often it was signalled since the last time, 0 when it was not
Napi::Value takeEvent(const Napi::CallbackInfo& info) {
  uint64_t count = 0;
  const ssize_t size = ::read(info[0].As<Napi::Number>().Int32Value(), &count, sizeof count);
  return Napi::Number::New(info.Env(), size == sizeof count ? static_cast<double>(count) : 0);
}

Napi::Value signalEvent(const Napi::CallbackInfo& info) {
  const uint64_t one = 1;
  const ssize_t size = ::write(info[0].As<Napi::Number>().Int32Value(), &one, sizeof one);
  return Napi::Number::New(info.Env(), orErrno(size));
}

/// new Watcher(fd, onReady, isForWriting): calls a function each time a descriptor becomes readable,
/// or writable. Does not keep the process alive unless `hold` says so.
class Watcher : public Napi::ObjectWrap<Watcher> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Watcher",
                       {InstanceMethod("close", &Watcher::close),
                        InstanceMethod("hold", &Watcher::hold)});
  }

  explicit Watcher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Watcher>(info) {
    if (IsEmpty()) return;  // this worker is being terminated
    uv_loop_s* loop = nullptr;
    napi_get_uv_event_loop(info.Env(), &loop);
    handle_ = static_cast<uv_handle*>(calloc(1, uv_handle_size(uvPollType)));
    const int fd = info[0].As<Napi::Number>().Int32Value();
    const int result = uv_poll_init(loop, handle_, fd);
    if (result != 0) {
      free(handle_);
      handle_ = nullptr;
      Napi::Error::New(info.Env(), "cannot watch this descriptor").ThrowAsJavaScriptException();
      return;
    }
    handle_->data = this;
    callback_ = Napi::Persistent(info[1].As<Napi::Function>());
    uv_poll_start(handle_, flagArgument(info[2]) ? uvWritable : uvReadable, onReady);
    uv_unref(handle_);
    Ref();  // alive until closed
  }

  ~Watcher() override { release(); }

 private:
  static void onReady(uv_handle* handle, int, int) {
    auto* self = static_cast<Watcher*>(handle->data);
    if (self == nullptr) return;
    const Napi::Env env = self->Env();
    Napi::HandleScope scope(env);
    const napi_status status = napi_make_callback(env, nullptr, env.Global(),
                                                  self->callback_.Value(), 0, nullptr, nullptr);
    if (status == napi_pending_exception) reportUncaught(env);
  }

  /// What the callback threw goes to 'uncaughtException', as it does from a callback of Node itself.
  /// In a worker that is being terminated nothing can be called or thrown any more, and this does
  /// nothing.
  static void reportUncaught(napi_env env) {
    bool isPending = false;
    napi_value thrown = nullptr;
    if (napi_is_exception_pending(env, &isPending) != napi_ok || !isPending) return;
    if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) {
      napi_fatal_exception(env, thrown);
    }
  }

  void release() {
    if (handle_ == nullptr) return;
    handle_->data = nullptr;
    uv_poll_stop(handle_);
    uv_close(handle_, [](uv_handle* handle) { free(handle); });
    handle_ = nullptr;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (handle_ != nullptr) {
      release();
      callback_.Reset();
      Unref();
    }
    return info.Env().Undefined();
  }

  Napi::Value hold(const Napi::CallbackInfo& info) {
    if (handle_ == nullptr) return info.Env().Undefined();
    if (flagArgument(info[0])) {
      uv_ref(handle_);
    } else {
      uv_unref(handle_);
    }
    return info.Env().Undefined();
  }

  uv_handle* handle_ = nullptr;
  Napi::FunctionReference callback_;
};

}  // namespace

void exportEvent(Napi::Env env, Napi::Object exports) {
  exports.Set("eventfd", Napi::Function::New(env, newEventfd));
  exports.Set("takeEvent", Napi::Function::New(env, takeEvent));
  exports.Set("signalEvent", Napi::Function::New(env, signalEvent));
  exports.Set("Watcher", Watcher::define(env));
}
