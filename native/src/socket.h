#pragma once

#include <napi.h>

void exportSocket(Napi::Env env, Napi::Object exports);
