#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <set>

#include "sdk/assistant/language.h"
#include "sdk/cli/commands.h"
#include "sdk/cli/interrupt.h"
#include "sdk/cli/load.h"
#include "sdk/cli/sources.h"
#include "sdk/cli/terminal.h"
#include "sdk/protocol/event_json.h"

namespace wenqu::cli {
namespace {

using assistant::Event;

// Shows the events to a person: thinking dimmed, the answer, then its sources.
class Display {
 public:
  explicit Display(bool chinese) : chinese_(chinese), colour_(::isatty(STDOUT_FILENO) == 1) {}

  void show(const Event& event) {
    switch (event.type) {
      case Event::Type::item_added:
        if (event.item->kind == assistant::Item::Kind::reasoning)
          fmt::print("{}{}\n", colour_ ? "\033[2m" : "", chinese_ ? "思考中…" : "Thinking…");
        break;
      case Event::Type::reasoning_delta:
      case Event::Type::text_delta:
        fmt::print("{}", clean(event.delta));
        break;
      case Event::Type::reasoning_done: {
        const double seconds = static_cast<double>(event.item->elapsed_ms) / 1000;
        fmt::print("{}", colour_ ? "\033[0m" : "");
        fmt::print(fmt::runtime(chinese_ ? "\n已深度思考（用时 {:.0f} 秒）\n\n" : "\nThought for {:.0f} s\n\n"), seconds);
        break;
      }
      case Event::Type::text_done:
        fmt::print("\n");
        show_sources(*event.item);
        break;
      case Event::Type::incomplete:
        fmt::print(stderr, "wenqu: {}: {}\n", chinese_ ? "回答未完成" : "the answer is incomplete",
                   event.response->incomplete_reason);
        break;
      case Event::Type::failed:
        fmt::print(stderr, "wenqu: {}\n", event.response->error.to_string());
        break;
      default:
        return;
    }
    std::fflush(stdout);
  }

 private:
  std::string clean(std::string_view text) const { return colour_ ? visible(text) : std::string(text); }

  void show_sources(const assistant::Item& message) {
    std::set<int> shown;
    for (const assistant::Citation& citation : message.citations) {
      if (!shown.insert(citation.number).second) continue;
      if (shown.size() == 1) fmt::print("\n{}\n", chinese_ ? "来源：" : "Sources:");
      const retrieval::Hit& hit = citation.evidence->hit;
      const std::string place = retrieval::describe(hit.passage.locator);
      fmt::print("[{}] {}{}{}  {} {}\n", citation.number, clean(hit.title.empty() ? hit.passage.document_id : hit.title),
                 place.empty() ? "" : ", ", place, clean(hit.url.empty() ? hit.passage.document_id : hit.url), clean(hit.published_at));
    }
  }

  bool chinese_;
  bool colour_;
};

int exit_code(const Event& final_event) {
  if (final_event.type == Event::Type::failed) return kExitFailed;
  const std::string& reason = final_event.response->incomplete_reason;
  return reason == "cancelled" ? kExitStopped : reason == "deadline_exceeded" ? kExitFailed : kExitOk;
}

// `id`: that of the response, where there was one.
int answer(const assistant::Assistant& assistant, const assistant::AskRequest& request, bool json, std::string* id = nullptr) {
  Interrupt interrupt;
  Display display(assistant::detect_language(request.question) == assistant::Language::chinese);
  int code = kExitFailed;
  const Status status = assistant.ask(request, [&](const Event& event) {
    if (json) {
      fmt::print("{}\n", protocol::event_to_json(event));
      std::fflush(stdout);
    } else {
      display.show(event);
    }
    if (event.is_final()) code = exit_code(event);
    if (event.is_final() && id && event.type != Event::Type::failed) *id = event.response->id;
    return std::ferror(stdout) == 0;
  }, interrupt.token());
  return status ? code : report(status);
}

// Questions from a terminal or elsewhere, one a line, until the end of the input.
int converse(const assistant::Assistant& assistant, assistant::AskRequest request, bool json, bool conversation) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  conversation |= terminal;
  const assistant::Mode usual = request.mode;
  if (terminal)
    fmt::print("问渠 wenqu: 输入问题后回车；以 /deep 或 /quick 开头可选模式；Ctrl-D 结束。\n"
               "Type a question; begin it with /deep or /quick to choose the mode; Ctrl-D ends.\n"
               "可以接着问（“那周六呢？”）；/new 开始新的对话。\n"
               "Ask on (\"and on Saturdays?\"); /new begins a new conversation.\n");
  int code = kExitOk;
  std::string line;
  while (true) {
    if (terminal) fmt::print("\n? ");
    std::fflush(stdout);
    if (!std::getline(std::cin, line)) break;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (conversation && line.rfind("/new", 0) == 0 && (line.size() == 4 || line[4] == ' ')) {
      request.previous_response_id.clear();
      line.erase(0, std::min(line.size(), line.find_first_not_of(' ', 4)));
      if (line.empty()) continue;
    }
    request.mode = usual;
    request.question = line;
    for (const auto& [prefix, mode] : {std::pair{"/deep", assistant::Mode::deep}, {"/quick", assistant::Mode::quick}})
      if (line.rfind(prefix, 0) == 0) {
        request.mode = mode;
        const size_t begin = line.find_first_not_of(' ', std::string_view(prefix).size());
        request.question = begin == std::string::npos ? "" : line.substr(begin);
      }
    if (terminal && request.question.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (!assistant.recall(request)) request.previous_response_id.clear();   // forgotten since
    code = answer(assistant, request, json, conversation ? &request.previous_response_id : nullptr);
  }
  if (terminal) fmt::print("\n");
  return terminal ? kExitOk : code;
}

}  // namespace

int run_ask(const AskOptions& options) {
  assistant::AskRequest request;
  request.question = options.question;
  request.mode = options.mode == "deep" ? assistant::Mode::deep : assistant::Mode::quick;
  request.seed = options.seed;
  request.temperature = static_cast<float>(options.temperature);
  request.max_thinking_tokens = options.max_thinking_tokens;
  request.max_answer_tokens = options.max_answer_tokens;
  request.time_limit_seconds = options.time_limit;
  request.report_progress = options.progress;
  Result<std::vector<retrieval::Source>> sources = parse_sources(options.sources);
  if (!sources) return report(sources.status());
  request.sources = *sources;
  Result<retrieval::Filter> filter = parse_filter(options.filter);
  if (!filter) return report(filter.status());
  request.filter = *filter;
  const bool at_prompt = options.question.empty() && !options.asked;
  if (!at_prompt)
    if (const Status valid = validate(request); !valid) return report(valid);   // before a model is loaded
  Result<assistant::OpenedAssistant> opened = load_assistant(options.index, options.remote, options.model, options.search,
                                                             at_prompt ? [](const Status& status) { report(status); } : std::function<void(const Status&)>());
  if (!opened) return report(opened.status());
  if (at_prompt) return converse(*opened->assistant, request, options.json, options.conversation);
  return answer(*opened->assistant, request, options.json);
}

}  // namespace wenqu::cli
