// SPDX-License-Identifier: GPL-3.0-or-later
// One user's questions to one index: opens it when first asked, keeps one answer running, and does
// both without ever making WeeChat wait.
//
// Thread safety: WeeChat's main thread only.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <wenqu/wenqu.h>

#include "display.h"

namespace wenqu_weechat {

// What the conversation needs of its host's main loop.
struct Host {
  std::function<void*(int fd, std::function<void()> readable)> watch;   // gives a handle for unwatch
  std::function<void(void*)> unwatch;
  PrintLine print;
  std::function<std::string(const char* option)> option;                // "" when not set
};

class Conversation {
 public:
  explicit Conversation(Host host) : host_(std::move(host)) {}
  // Stops what runs, and waits for it: as long as a layer of the model takes.
  ~Conversation();

  void ask(const std::string& question, bool deep);
  void stop();
  void show_sources();

 private:
  void open();
  void on_opened();
  void start();
  void on_event();
  void finish_request();

  Host host_;
  wq_assistant* assistant_ = nullptr;
  std::string opened_index_, opened_model_;

  // While the assistant is being opened.
  std::thread opener_;
  std::atomic<bool> give_up_{false};
  int opened_fd_ = -1;
  void* opened_watch_ = nullptr;
  wq_assistant* opening_ = nullptr;   // written by the opener before it signals
  std::string open_error_;

  std::string question_;              // to be asked once the assistant is open
  bool deep_ = false;
  wq_request* request_ = nullptr;
  void* request_watch_ = nullptr;
  std::unique_ptr<Display> display_;
};

}  // namespace wenqu_weechat
