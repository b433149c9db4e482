#pragma once

#include <napi.h>

void exportTcp(Napi::Env env, Napi::Object exports);
