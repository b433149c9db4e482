#pragma once

#include <unistd.h>

#include <cerrno>

/// A descriptor that is closed with its owner, unless it is handed on.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() {
    // The caller still wants to know why it failed.
    const int reason = errno;
    if (fd_ >= 0) ::close(fd_);
    errno = reason;
  }

  bool isOpen() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};
