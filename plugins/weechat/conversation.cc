// SPDX-License-Identifier: GPL-3.0-or-later
#include "conversation.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <system_error>

#include "text.h"

namespace wenqu_weechat {
namespace {

// Events taken in one turn of the main loop, so that typing stays smooth under a fast answer.
constexpr int kEventsPerTurn = 200;

}  // namespace

Conversation::~Conversation() {
  finish_request();
  give_up_ = true;
  if (opener_.joinable()) opener_.join();
  if (opened_watch_) host_.unwatch(opened_watch_);
  if (opened_fd_ >= 0) ::close(opened_fd_);
  wq_assistant_close(opening_);
  wq_assistant_close(assistant_);
}

void Conversation::ask(const std::string& question, bool deep) {
  finish_request();
  question_ = question;
  deep_ = deep;
  if (deep) host_.print(Style::info, "思考中…");
  if (opener_.joinable()) return;   // asked when it is open
  const std::string index = host_.option("index"), model = host_.option("model");
  if (index.empty()) {
    host_.print(Style::info, "no index: /set plugins.var.wenqu.index /path/to/index");
    return;
  }
  if (assistant_ && index == opened_index_ && model == opened_model_) {
    // What was indexed since the last question is found too.
    if (wq_assistant_refresh(assistant_) != WQ_OK) host_.print(Style::info, clean(wq_last_error()));
    start();
    return;
  }
  wq_assistant_close(assistant_);
  assistant_ = nullptr;
  opened_index_ = index;
  opened_model_ = model;
  open();
}

void Conversation::open() {
  if (opened_fd_ < 0) opened_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (opened_fd_ < 0) {
    host_.print(Style::info, "cannot make an eventfd");
    return;
  }
  opened_watch_ = host_.watch(opened_fd_, [this] { on_opened(); });
  try {
    opener_ = std::thread([this, index = opened_index_, model = opened_model_] {
      wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
      options.index_directory = index.c_str();
      options.model_path = model.empty() ? nullptr : model.c_str();
      options.on_progress = [](double, void* user) -> int32_t { return static_cast<Conversation*>(user)->give_up_ ? 1 : 0; };
      options.user = this;
      open_error_.clear();
      if (wq_assistant_open(&options, &opening_) != WQ_OK) open_error_ = wq_last_error();
      ::eventfd_write(opened_fd_, 1);
    });
  } catch (const std::system_error&) {
    host_.unwatch(opened_watch_);
    opened_watch_ = nullptr;
    host_.print(Style::info, "cannot start a thread");
  }
}

void Conversation::on_opened() {
  eventfd_t count;
  if (::eventfd_read(opened_fd_, &count) != 0) return;
  opener_.join();
  host_.unwatch(opened_watch_);
  opened_watch_ = nullptr;
  assistant_ = opening_;
  opening_ = nullptr;
  if (assistant_) start();
  else host_.print(Style::info, clean(open_error_));
}

void Conversation::start() {
  if (question_.empty()) return;   // stopped meanwhile
  wq_ask_options options = WQ_ASK_OPTIONS_INIT;
  options.mode = deep_ ? WQ_MODE_DEEP : WQ_MODE_QUICK;
  options.question = question_.data();
  options.question_length = question_.size();
  int fd = -1;
  if (wq_ask(assistant_, &options, &request_) != WQ_OK || wq_request_fd(request_, &fd) != WQ_OK) {
    host_.print(Style::info, clean(wq_last_error()));
    finish_request();
    return;
  }
  display_ = std::make_unique<Display>(host_.print, host_.option("thinking") != "off");
  request_watch_ = host_.watch(fd, [this] { on_event(); });
}

void Conversation::on_event() {
  for (int i = 0; i < kEventsPerTurn; ++i) {
    wq_string* event = nullptr;
    const wq_status status = wq_request_next(request_, 0, &event);
    if (status == WQ_E_TIMEOUT) return;
    if (status != WQ_OK) {
      finish_request();
      return;
    }
    display_->show({wq_string_data(event), wq_string_length(event)});
    wq_string_free(event);
  }
}

void Conversation::finish_request() {
  question_.clear();
  if (request_watch_) host_.unwatch(request_watch_);
  request_watch_ = nullptr;
  if (request_) wq_request_free(request_);
  request_ = nullptr;
}

void Conversation::stop() {
  if (request_) wq_request_cancel(request_);   // its last event says that it stopped
  else question_.clear();
}

void Conversation::show_sources() {
  if (!display_ || display_->sources().empty()) {
    host_.print(Style::info, "no sources yet");
    return;
  }
  for (const std::string& source : display_->sources()) host_.print(Style::info, source);
}

}  // namespace wenqu_weechat
