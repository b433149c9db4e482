// The thinnest thing that completes I/O: a thread that watches one doorbell and answers every entry
// of one queue pair with success. It measures what a driver costs when the device costs nothing.
#include "null_controller.h"

#include <atomic>
#include <cstdint>
#include <thread>

#include "bytes_argument.h"

namespace {

constexpr size_t commandWords = 16;     // [NVMe-2.0 §3.3.3.1 SQE]
constexpr size_t completionWords = 4;   // [NVMe-2.0 §3.3.3.2 CQE]

/// Lets the other thread of the core run while this one spins.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class NullController : public Napi::ObjectWrap<NullController> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NullController",
                       {InstanceMethod("stop", &NullController::stop),
                        InstanceAccessor("count", &NullController::count, nullptr)});
  }

  /// new NullController(submission: Uint32Array, completion: Uint32Array, doorbells: Uint32Array)
  /// The rings fill their arrays; doorbells[0] is the tail that the driver writes, doorbells[1] the
  /// head. All three must stay mapped until `stop`.
  explicit NullController(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NullController>(info) {
    if (IsEmpty()) return;  // this worker is being terminated
    const BytesArgument submission(info[0]);
    const BytesArgument completion(info[1]);
    const BytesArgument doorbells(info[2]);
    submission_ = reinterpret_cast<volatile uint32_t*>(submission.data);
    completion_ = reinterpret_cast<uint32_t*>(completion.data);
    doorbells_ = reinterpret_cast<std::atomic<uint32_t>*>(doorbells.data);
    submissionEntries_ = submission.length / (4 * commandWords);
    completionEntries_ = completion.length / (4 * completionWords);
    thread_ = std::thread([this] { run(); });
  }

  ~NullController() override { join(); }

 private:
  void run() {
    uint32_t head = 0;
    uint32_t slot = 0;
    uint32_t phase = 1;
    while (!stopped_.load(std::memory_order_relaxed)) {
      const uint32_t tail = doorbells_[0].load(std::memory_order_acquire);
      while (head != tail && tail < submissionEntries_) {
        const uint32_t next = slot + 1 == completionEntries_ ? 0 : slot + 1;
        // One slot stays empty: the driver has not taken what is in the others yet.
        if (next == doorbells_[1].load(std::memory_order_acquire)) break;
        const uint32_t cid = submission_[head * commandWords] >> 16;
        head = head + 1 == submissionEntries_ ? 0 : head + 1;
        uint32_t* entry = completion_ + slot * completionWords;
        entry[0] = 0;
        entry[1] = 0;
        entry[2] = head | (1u << 16);
        // The phase bit makes the entry valid: everything else of it comes before.
        std::atomic_ref<uint32_t>(entry[3]).store(cid | (phase << 16), std::memory_order_release);
        slot = next;
        if (slot == 0) phase ^= 1;
        count_.fetch_add(1, std::memory_order_relaxed);
      }
      relax();
    }
  }

  void join() {
    stopped_.store(true);
    if (thread_.joinable()) thread_.join();
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    join();
    return info.Env().Undefined();
  }

  Napi::Value count(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(count_.load()));
  }

  volatile uint32_t* submission_ = nullptr;
  uint32_t* completion_ = nullptr;
  std::atomic<uint32_t>* doorbells_ = nullptr;
  uint32_t submissionEntries_ = 0;
  uint32_t completionEntries_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> count_{0};
  std::thread thread_;
};

}  // namespace

void exportNullController(Napi::Env env, Napi::Object exports) {
  exports.Set("NullController", NullController::define(env));
}
