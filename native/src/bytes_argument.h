#pragma once

#include <napi.h>

#include <cstdint>

/// The memory behind a Uint8Array or an ArrayBuffer argument.
struct BytesArgument {
  uint8_t* data = nullptr;
  size_t length = 0;

  explicit BytesArgument(const Napi::Value& value) {
    if (value.IsTypedArray()) {
      auto array = value.As<Napi::TypedArray>();
      data = static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
      length = array.ByteLength();
    } else if (value.IsArrayBuffer()) {
      auto buffer = value.As<Napi::ArrayBuffer>();
      data = static_cast<uint8_t*>(buffer.Data());
      length = buffer.ByteLength();
    }
  }
};
