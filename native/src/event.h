#pragma once

#include <napi.h>

void exportEvent(Napi::Env env, Napi::Object exports);
