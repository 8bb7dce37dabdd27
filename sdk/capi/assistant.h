// The assistant handle, shared by the files that implement its functions.
#pragma once

#include "sdk/assistant/open.h"

struct wq_assistant {
  wenqu::assistant::OpenedAssistant opened;
};
