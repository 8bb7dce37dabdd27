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
  abandon_request();
  give_up_ = true;
  if (preparer_.joinable()) preparer_.join();
  if (prepared_watch_) host_.unwatch(prepared_watch_);
  if (prepared_fd_ >= 0) ::close(prepared_fd_);
  for (const auto& [request, watch] : abandoned_) {
    host_.unwatch(watch);
    wq_request_free(request);
  }
  wq_assistant_close(assistant_);
}

void Conversation::ask(const std::string& question, bool deep) {
  abandon_request();
  question_ = question;
  deep_ = deep;
  if (deep) host_.print(Style::info, "思考中…");
  if (preparer_.joinable()) return;   // asked when it is done
  const std::string index = host_.option("index"), model = host_.option("model");
  if (index.empty()) {
    host_.print(Style::info, "no index: /set plugins.var.wenqu.index /path/to/index");
    return;
  }
  if (index != opened_index_ || model != opened_model_) {
    wq_assistant_close(assistant_);
    assistant_ = nullptr;
    opened_index_ = index;
    opened_model_ = model;
    previous_id_.clear();
  }
  prepare();
}

void Conversation::prepare() {
  if (prepared_fd_ < 0) prepared_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (prepared_fd_ < 0) {
    host_.print(Style::info, "cannot make an eventfd");
    return;
  }
  prepared_watch_ = host_.watch(prepared_fd_, [this] { on_prepared(); });
  prepare_error_.clear();
  try {
    preparer_ = std::thread([this, index = opened_index_, model = opened_model_] {
      if (assistant_) {
        // What was indexed since the last question is found too; a cluster may take its time to say so.
        if (wq_assistant_refresh(assistant_) != WQ_OK) prepare_error_ = wq_last_error();
        ::eventfd_write(prepared_fd_, 1);
        return;
      }
      wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
      options.index_directory = index.c_str();
      options.model_path = model.empty() ? nullptr : model.c_str();
      options.on_progress = [](double, void* user) -> int32_t { return static_cast<Conversation*>(user)->give_up_ ? 1 : 0; };
      options.user = this;
      if (wq_assistant_open(&options, &assistant_) != WQ_OK) prepare_error_ = wq_last_error();
      ::eventfd_write(prepared_fd_, 1);
    });
  } catch (const std::system_error&) {
    host_.unwatch(prepared_watch_);
    prepared_watch_ = nullptr;
    host_.print(Style::info, "cannot start a thread");
  }
}

void Conversation::on_prepared() {
  eventfd_t count;
  if (::eventfd_read(prepared_fd_, &count) != 0) return;
  preparer_.join();
  host_.unwatch(prepared_watch_);
  prepared_watch_ = nullptr;
  if (!prepare_error_.empty()) host_.print(Style::info, clean(prepare_error_));
  if (assistant_) start();
}

void Conversation::start() {
  if (question_.empty()) return;   // stopped meanwhile
  wq_ask_options options = WQ_ASK_OPTIONS_INIT;
  options.mode = deep_ ? WQ_MODE_DEEP : WQ_MODE_QUICK;
  options.question = question_.data();
  options.question_length = question_.size();
  options.previous_response_id = previous_id_.empty() ? nullptr : previous_id_.c_str();
  int fd = -1;
  wq_status asked = wq_ask(assistant_, &options, &request_);
  if (asked == WQ_E_NOT_FOUND && options.previous_response_id) {   // forgotten since
    options.previous_response_id = nullptr;
    asked = wq_ask(assistant_, &options, &request_);
  }
  if (asked != WQ_OK || wq_request_fd(request_, &fd) != WQ_OK) {
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
    if (!display_->response_id().empty()) previous_id_ = display_->response_id();
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

// The question makes place for another one, or for nothing. What its request still says is thrown away as it comes.
void Conversation::abandon_request() {
  wq_request* const request = request_;
  int fd = -1;
  if (request && wq_request_cancel(request) == WQ_OK && wq_request_fd(request, &fd) == WQ_OK) {
    if (request_watch_) host_.unwatch(request_watch_);   // WeeChat watches a descriptor once
    request_watch_ = nullptr;
    request_ = nullptr;
    abandoned_[request] = host_.watch(fd, [this, request] { on_abandoned(request); });
  }
  finish_request();
}

void Conversation::on_abandoned(wq_request* request) {
  for (int i = 0; i < kEventsPerTurn; ++i) {
    wq_string* event = nullptr;
    const wq_status status = wq_request_next(request, 0, &event);
    if (status == WQ_E_TIMEOUT) return;
    if (status == WQ_OK) {
      wq_string_free(event);
      continue;
    }
    const auto place = abandoned_.find(request);
    host_.unwatch(place->second);
    abandoned_.erase(place);
    wq_request_free(request);
    return;
  }
}

void Conversation::stop() {
  if (request_) wq_request_cancel(request_);   // its last event says that it stopped
  else question_.clear();
}

void Conversation::begin_anew() {
  abandon_request();
  display_.reset();
  previous_id_.clear();
}

void Conversation::show_sources() {
  if (!display_ || display_->sources().empty()) {
    host_.print(Style::info, "no sources yet");
    return;
  }
  for (const std::string& source : display_->sources()) host_.print(Style::info, source);
}

}  // namespace wenqu_weechat
