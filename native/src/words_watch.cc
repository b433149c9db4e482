// Memory that others write without telling, watched by a thread of its own while nobody else looks.
#include "words_watch.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "bytes_argument.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct Watched {
  const uint32_t* words;
  const uint32_t* seen;
  size_t count;
  int event;
  bool isArmed;
};

/// Whether any word is another than the one that was seen. Whoever is woken looks again, with the
/// barrier that the contents behind the words need.
bool hasChanged(const Watched& watched) {
  for (size_t i = 0; i < watched.count; i++) {
    const uint32_t word = __atomic_load_n(watched.words + i, __ATOMIC_RELAXED);
    if (word != __atomic_load_n(watched.seen + i, __ATOMIC_RELAXED)) return true;
  }
  return false;
}

/// What was used a moment ago is looked at often, what nobody uses costs next to nothing.
microseconds pauseAfter(Clock::duration quiet) {
  if (quiet < milliseconds(20)) return microseconds(50);
  if (quiet < milliseconds(200)) return microseconds(100);
  if (quiet < milliseconds(1000)) return microseconds(250);
  return microseconds(1000);
}

/// The one thread of the process, for everything that is watched. It runs while something is, and
/// sleeps for good while nothing is armed.
class Watchkeeper {
 public:
  void add(Watched* watched) {
    const std::lock_guard lock(mutex_);
    all_.push_back(watched);
    if (thread_.joinable()) return;
    thread_ = std::thread([this, mine = generation_] { run(mine); });
  }

  /// After it has returned nothing of the memory is touched any more.
  void remove(Watched* watched) {
    std::thread ended;
    {
      const std::lock_guard lock(mutex_);
      if (watched->isArmed) armedCount_--;
      std::erase(all_, watched);
      if (!all_.empty()) return;
      generation_++;
      ended = std::move(thread_);
    }
    armed_.notify_all();
    ended.join();
  }

  void arm(Watched* watched, Clock::duration quiet) {
    {
      const std::lock_guard lock(mutex_);
      if (!watched->isArmed) armedCount_++;
      watched->isArmed = true;
      quietSince_ = std::max(quietSince_, Clock::now() - quiet);
    }
    armed_.notify_all();
  }

 private:
  void run(uint64_t mine) {
    // Pauses are short: the kernel's leeway of 50 us would double them.
    ::prctl(PR_SET_TIMERSLACK, 1);
    std::unique_lock lock(mutex_);
    while (generation_ == mine) {
      if (armedCount_ == 0) {
        armed_.wait(lock);
        continue;
      }
      const auto now = Clock::now();
      for (Watched* watched : all_) {
        if (!watched->isArmed || !hasChanged(*watched)) continue;
        watched->isArmed = false;
        armedCount_--;
        quietSince_ = now;
        const uint64_t one = 1;
        // A counter that is full has woken its reader already.
        if (::write(watched->event, &one, sizeof one) < 0) continue;
      }
      if (armedCount_ == 0) continue;
      const auto pause = pauseAfter(now - quietSince_);
      lock.unlock();
      std::this_thread::sleep_for(pause);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable armed_;
  std::vector<Watched*> all_;
  size_t armedCount_ = 0;
  Clock::time_point quietSince_{};
  /// Moves on when the thread shall end; one that is made meanwhile has another number.
  uint64_t generation_ = 0;
  std::thread thread_;
};

/// Never destroyed: a process that ends does not wait for the thread.
Watchkeeper& watchkeeper() {
  static auto* keeper = new Watchkeeper();
  return *keeper;
}

/// new WordsWatch(words: Uint32Array, seen: Uint32Array, eventfd): of the same length. Both stay
/// where they are until `close`.
class WordsWatch : public Napi::ObjectWrap<WordsWatch> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "WordsWatch",
        {InstanceMethod("arm", &WordsWatch::arm), InstanceMethod("close", &WordsWatch::close)});
  }

  explicit WordsWatch(const Napi::CallbackInfo& info) : Napi::ObjectWrap<WordsWatch>(info) {
    if (IsEmpty()) return;  // this worker is being terminated
    const BytesArgument words(info[0]);
    const BytesArgument seen(info[1]);
    words_ = Napi::Persistent(info[0].As<Napi::Object>());
    seen_ = Napi::Persistent(info[1].As<Napi::Object>());
    watched_ = {reinterpret_cast<const uint32_t*>(words.data),
                reinterpret_cast<const uint32_t*>(seen.data),
                std::min(words.length, seen.length) / sizeof(uint32_t),
                info[2].As<Napi::Number>().Int32Value(), false};
    watchkeeper().add(&watched_);
    isOpen_ = true;
  }

  ~WordsWatch() override { end(); }

 private:
  /// arm(quietMs): signal the eventfd once when a word is another than the one seen; how long none
  /// has been decides how closely they are watched
  Napi::Value arm(const Napi::CallbackInfo& info) {
    const milliseconds quiet(info[0].As<Napi::Number>().Int64Value());
    if (isOpen_) watchkeeper().arm(&watched_, quiet);
    return info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    end();
    return info.Env().Undefined();
  }

  void end() {
    if (!isOpen_) return;
    isOpen_ = false;
    watchkeeper().remove(&watched_);
    words_.Reset();
    seen_.Reset();
  }

  Watched watched_{};
  Napi::ObjectReference words_;
  Napi::ObjectReference seen_;
  bool isOpen_ = false;
};

}  // namespace

void exportWordsWatch(Napi::Env env, Napi::Object exports) {
  exports.Set("WordsWatch", WordsWatch::define(env));
}
