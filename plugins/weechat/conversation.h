// SPDX-License-Identifier: GPL-3.0-or-later
// One user's questions to one index, each going on from the one before it: opens it when first asked, looks for what is new in it before each
// question, keeps one answer running, and never makes WeeChat wait for any of it.
//
// Thread safety: WeeChat's main thread only.
#pragma once

#include <atomic>
#include <functional>
#include <map>
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
  // Stops what runs, and waits for it: as long as a layer of the model takes, or a cluster to answer.
  ~Conversation();

  void ask(const std::string& question, bool deep);
  void stop();
  void begin_anew();   // the next question goes on from nothing
  void show_sources();

 private:
  void prepare();
  void on_prepared();
  void start();
  void on_event();
  void finish_request();
  void abandon_request();
  void on_abandoned(wq_request* request);

  Host host_;
  wq_assistant* assistant_ = nullptr;
  std::string opened_index_, opened_model_;

  // While the assistant is being opened, or looks for the newest commit.
  std::thread preparer_;
  std::atomic<bool> give_up_{false};
  int prepared_fd_ = -1;
  void* prepared_watch_ = nullptr;
  std::string prepare_error_;         // this and assistant_ are the preparer's until it signals

  std::string previous_id_;           // of the response that the next question goes on from
  std::string question_;              // to be asked once the assistant is prepared
  bool deep_ = false;
  wq_request* request_ = nullptr;
  void* request_watch_ = nullptr;
  std::map<wq_request*, void*> abandoned_;   // cancelled, with their watches: freeing them before they end would wait
  std::unique_ptr<Display> display_;
};

}  // namespace wenqu_weechat
