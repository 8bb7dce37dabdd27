// SPDX-License-Identifier: GPL-3.0-or-later
// Text from outside, made fit for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace wenqu_weechat {

// Without control characters (ANSI escapes and WeeChat's colour codes begin with one), tabs as spaces,
// and with "[citation:3]" as "[3]". Line breaks are left.
std::string clean(std::string_view text);

}  // namespace wenqu_weechat
