#pragma once

#include <napi.h>

void exportFile(Napi::Env env, Napi::Object exports);
