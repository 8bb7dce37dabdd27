// SPDX-License-Identifier: GPL-3.0-or-later
// The part that speaks WeeChat: command, options, buffer, main loop.
#include <weechat/weechat-plugin.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "conversation.h"
#include "text.h"

#define WENQU_EXPORT extern "C" __attribute__((visibility("default")))

#pragma GCC visibility push(default)
extern "C" {
WEECHAT_PLUGIN_NAME("wenqu")
WEECHAT_PLUGIN_DESCRIPTION("Ask your own documents")
WEECHAT_PLUGIN_AUTHOR("the wenqu developers")
WEECHAT_PLUGIN_VERSION("0.1.0")
WEECHAT_PLUGIN_LICENSE("GPL3")
}
#pragma GCC visibility pop

struct t_weechat_plugin* weechat_plugin = nullptr;

namespace wenqu_weechat {
namespace {

struct t_gui_buffer* buffer = nullptr;
bool dismissed = false;   // the buffer was closed, and nothing was asked since
std::unique_ptr<Conversation> conversation;

struct Watch {
  struct t_hook* hook = nullptr;
  std::function<void()> readable;
};

int on_readable(const void* pointer, void*, int) {
  // The callback may end its own watch, so it is copied before it is called.
  const std::function<void()> readable = static_cast<const Watch*>(pointer)->readable;
  readable();
  return WEECHAT_RC_OK;
}

int on_buffer_closed(const void*, void*, struct t_gui_buffer*) {
  buffer = nullptr;
  dismissed = true;   // what its answer still has to say opens no other
  if (conversation) conversation->stop();
  return WEECHAT_RC_OK;
}

// What is typed into the buffer is a question too.
int on_input(const void*, void*, struct t_gui_buffer*, const char* text) {
  if (conversation) conversation->ask(text, false);
  return WEECHAT_RC_OK;
}

struct t_gui_buffer* open_buffer() {
  if (!buffer) {
    buffer = weechat_buffer_new("wenqu", on_input, nullptr, nullptr, on_buffer_closed, nullptr, nullptr);
    if (buffer) weechat_buffer_set(buffer, "title", "问渠 wenqu: /ask [-deep] question");
  }
  return buffer;
}

void print(Style style, const std::string& line) {
  if (dismissed) return;
  struct t_gui_buffer* where = open_buffer();
  const char* colour = style == Style::thinking ? "darkgray" : style == Style::info ? "cyan" : "default";
  weechat_printf_date_tags(where, 0, "no_highlight,notify_none,wenqu", "%s%s", weechat_color(colour), line.c_str());
}

Host make_host() {
  Host host;
  host.watch = [](int fd, std::function<void()> readable) -> void* {
    auto* watch = new Watch{nullptr, std::move(readable)};
    watch->hook = weechat_hook_fd(fd, 1, 0, 0, on_readable, watch, nullptr);
    return watch;
  };
  host.unwatch = [](void* handle) {
    auto* watch = static_cast<Watch*>(handle);
    weechat_unhook(watch->hook);
    delete watch;
  };
  host.print = print;
  host.option = [](const char* name) -> std::string {
    const char* value = weechat_config_get_plugin(name);
    return value ? value : "";
  };
  return host;
}

int on_ask(const void*, void*, struct t_gui_buffer*, int argc, char** argv, char** argv_eol) {
  dismissed = false;
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "stop" && argc == 2) {
    conversation->stop();
    return WEECHAT_RC_OK;
  }
  if (first == "sources" && argc == 2) {
    conversation->show_sources();
    return WEECHAT_RC_OK;
  }
  if (first == "new" && argc == 2) {
    conversation->begin_anew();
    print(Style::info, "a new conversation");
    return WEECHAT_RC_OK;
  }
  const bool option = first == "-deep" || first == "-quick";
  const char* question = option ? (argc > 2 ? argv_eol[2] : "") : (argc > 1 ? argv_eol[1] : "");
  if (!*question || (first == "help" && argc == 2)) {
    print(Style::info, "/ask [-deep|-quick] question   /ask new   /ask stop   /ask sources");
    return WEECHAT_RC_OK;
  }
  print(Style::text, "? " + clean(question));
  conversation->ask(question, first == "-deep");
  return WEECHAT_RC_OK;
}

}  // namespace
}  // namespace wenqu_weechat

WENQU_EXPORT int weechat_plugin_init(struct t_weechat_plugin* plugin, int, char**) {
  using namespace wenqu_weechat;
  weechat_plugin = plugin;
  conversation = std::make_unique<Conversation>(make_host());
  for (const auto& [name, value, text] : {std::tuple{"index", "", "directory of the index (made with `wenqu index`)"},
                                          {"model", "", "GGUF model; empty: answers are extracted from the sources"},
                                          {"thinking", "on", "on or off: show the thinking of deep answers"}}) {
    if (!weechat_config_is_set_plugin(name)) weechat_config_set_plugin(name, value);
    weechat_config_set_desc_plugin(name, text);
  }
  weechat_hook_command("ask", "ask your own documents", "[-deep|-quick] <question> || new || stop || sources || help",
                       "   -deep: search further, think, then answer\n"
                       "     new: begin a new conversation; else each question goes on from the one before\n"
                       "    stop: stop the running answer\n"
                       " sources: show the sources of the last answer again\n",
                       "-deep || -quick || new || stop || sources || help", on_ask, nullptr, nullptr);
  return WEECHAT_RC_OK;
}

WENQU_EXPORT int weechat_plugin_end(struct t_weechat_plugin*) {
  using namespace wenqu_weechat;
  conversation.reset();
  if (buffer) weechat_buffer_close(buffer);
  buffer = nullptr;
  return WEECHAT_RC_OK;
}
