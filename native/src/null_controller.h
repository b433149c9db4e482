#pragma once

#include <napi.h>

void exportNullController(Napi::Env env, Napi::Object exports);
