#pragma once

#include <napi.h>

void exportMapping(Napi::Env env, Napi::Object exports);
