#pragma once

#include <napi.h>

void exportWordsWatch(Napi::Env env, Napi::Object exports);
