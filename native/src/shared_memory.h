#pragma once

#include <napi.h>

void exportSharedMemory(Napi::Env env, Napi::Object exports);
