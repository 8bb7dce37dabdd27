// Where the credentials for a cluster come from: a file, or the environment, and never the command line.
//
// Thread safety: pure but for reading the file and the environment.
#pragma once

#include <string>

#include "base/http/url.h"
#include "base/status.h"

namespace wenqu::retrieval {

// The value of the header Authorization; empty where there are no credentials. They come from the file's first line
// ("ApiKey KEY", "Bearer TOKEN" or "USER:PASSWORD"), where a file is named; else from WENQU_REMOTE_API_KEY,
// WENQU_REMOTE_TOKEN, or WENQU_REMOTE_PASSWORD with the address's user or WENQU_REMOTE_USER.
// Errors: not_found (the file), invalid_argument: the file's first line has none of these forms, a user without a
// password or a password without a user, and credentials that would go over the network in the clear. No message repeats
// them.
Result<std::string> find_authorization(const Url& url, const std::string& file);

}  // namespace wenqu::retrieval
