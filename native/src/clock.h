#pragma once

#include <napi.h>

void exportClock(Napi::Env env, Napi::Object exports);
