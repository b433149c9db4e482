// Files and device nodes: open, close, positioned reads and writes, ioctl on this thread or off it.
#include "file.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bytes_argument.h"
#include "errno_value.h"

namespace {

Napi::Value openFile(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const int flags = info[1].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), orErrno(::open(path.c_str(), flags | O_CLOEXEC)));
}

Napi::Value closeFile(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), orErrno(::close(info[0].As<Napi::Number>().Int32Value())));
}

Napi::Value readFile(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[1]);
  const ssize_t count = ::pread(info[0].As<Napi::Number>().Int32Value(), bytes.data, bytes.length,
                                info[2].As<Napi::Number>().Int64Value());
  return Napi::Number::New(info.Env(), orErrno(count));
}

Napi::Value writeFile(const Napi::CallbackInfo& info) {
  const BytesArgument bytes(info[1]);
  const ssize_t count = ::pwrite(info[0].As<Napi::Number>().Int32Value(), bytes.data, bytes.length,
                                 info[2].As<Napi::Number>().Int64Value());
  return Napi::Number::New(info.Env(), orErrno(count));
}

/// The third argument of an ioctl: a plain number, or the address of the caller's bytes.
unsigned long ioctlArgument(const Napi::Value& value) {
  if (value.IsNumber()) return static_cast<unsigned long>(value.As<Napi::Number>().Int64Value());
  return reinterpret_cast<unsigned long>(BytesArgument(value).data);
}

Napi::Value ioctlFile(const Napi::CallbackInfo& info) {
  const int result = ::ioctl(info[0].As<Napi::Number>().Int32Value(),
                             info[1].As<Napi::Number>().Uint32Value(), ioctlArgument(info[2]));
  return Napi::Number::New(info.Env(), orErrno(result));
}

/// Some ioctls reset the device and take 100 ms or, on a sick drive, minutes.
class IoctlWorker : public Napi::AsyncWorker {
 public:
  IoctlWorker(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env()),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        fd_(info[0].As<Napi::Number>().Int32Value()),
        request_(info[1].As<Napi::Number>().Uint32Value()),
        argument_(ioctlArgument(info[2])) {
    // The bytes must outlive the call.
    if (info[2].IsObject()) keep_ = Napi::Persistent(info[2].As<Napi::Object>());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { result_ = orErrno(::ioctl(fd_, request_, argument_)); }
  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), result_)); }

 private:
  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference keep_;
  const int fd_;
  const unsigned long request_;
  const unsigned long argument_;
  long result_ = 0;
};

Napi::Value ioctlAsync(const Napi::CallbackInfo& info) {
  auto* worker = new IoctlWorker(info);  // deletes itself when it is done
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void exportFile(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New(env, openFile));
  exports.Set("close", Napi::Function::New(env, closeFile));
  exports.Set("read", Napi::Function::New(env, readFile));
  exports.Set("write", Napi::Function::New(env, writeFile));
  exports.Set("ioctl", Napi::Function::New(env, ioctlFile));
  exports.Set("ioctlAsync", Napi::Function::New(env, ioctlAsync));
}
