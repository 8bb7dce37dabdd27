#include "sdk/assistant/assistant.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <exception>
#include <set>

#include "base/utf8.h"
#include "sdk/assistant/citation.h"
#include "sdk/assistant/planner.h"
#include "sdk/assistant/prompt.h"
#include "sdk/assistant/response_writer.h"

namespace wenqu::assistant {
namespace {

constexpr size_t kQuickPassages = 6, kDeepPassages = 10;
constexpr size_t kQuickRounds = 1, kDeepRounds = 3;
constexpr size_t kFollowUpsPerRound = 3;
// Searches made before a model starts to think; what is left of the rounds it may ask for itself.
constexpr size_t kRoundsBeforeThinking = 2;
constexpr size_t kFoundInsideThought = 3;
constexpr size_t kNarratedChars = 80;   // of a passage, in the thinking

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  return fmt::format("{:04}-{:02}-{:02}", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday);
}

// One question on its road: retrieval, then generation, told through the writer.
class Road : public GenerationSink {
 public:
  Road(const retrieval::Retriever& retriever, Generator& generator, const AskRequest& request, const Conversation& earlier,
       ResponseWriter& writer, const CancelToken& cancel)
      : retriever_(retriever), generator_(generator), request_(request), earlier_(earlier), writer_(writer), cancel_(cancel) {
    asked_.text = request.question;
    deep_ = request.mode == Mode::deep;
    passages_ = request.passages ? request.passages : deep_ ? kDeepPassages : kQuickPassages;
    rounds_left_ = request.max_rounds ? request.max_rounds : deep_ ? kDeepRounds : kQuickRounds;
    if (deep_) rounds_left_ = std::max<size_t>(rounds_left_, 2);
    language_ = detect_language(request.question);
  }

  // How the answer ended. The response is not ended yet.
  Result<State> travel() {
    WENQU_ASSIGN_OR_RETURN(asked_, read_question(retriever_, request_.question, earlier_, cancel_));
    WENQU_RETURN_IF_ERROR(retrieve());
    if (writer_.stopped()) return stopped();
    return generate();
  }

  // What the next question is asked behind.
  Turn turn() const {
    Turn turn;
    turn.question = request_.question;
    turn.subject = asked_.subject;
    turn.prompt = prompt_;
    const Response& response = writer_.response();
    for (const Item& item : response.items)
      if (item.kind == Item::Kind::message) turn.answer = item.text;
    // The heading of an extract is nobody's words.
    if (response.extractive) turn.answer.erase(0, std::min(turn.answer.size(), turn.answer.find('\n')));
    const int last = turn.last_number = earlier_.empty() ? 0 : earlier_.back()->last_number;
    for (const Evidence& evidence : response.evidence) {
      if (evidence.number > last) turn.evidence.push_back(evidence);
      turn.last_number = std::max(turn.last_number, evidence.number);
    }
    return turn;
  }

 private:
  Status stopped() const { return Status(StatusCode::cancelled, "the receiver asked to stop"); }
  bool chinese() const { return language_ == Language::chinese; }

  // ---- retrieval

  Status retrieve() {
    if (asked_.query() == asked_.text)
      narrate(chinese() ? "先按问题检索。\n" : "First a search for the question itself.\n");
    else
      narrate(fmt::format(fmt::runtime(chinese() ? "结合前面的问题检索：{}\n" : "First a search for the question, as it goes on from those before: {}\n"), asked_.query()));
    WENQU_RETURN_IF_ERROR(search(asked_.queries(request_.mode)));
    if (!deep_) return {};
    const bool reserve = generator_.thinks();
    size_t rounds = 1;
    while (rounds_left_ > 0 && !writer_.stopped() && (!reserve || rounds < kRoundsBeforeThinking)) {
      WENQU_ASSIGN_OR_RETURN(std::vector<FollowUp> plan,
                             plan_follow_ups(retriever_, asked_.query(), latest_, queries_, kFollowUpsPerRound, cancel_));
      if (plan.empty() && rounds >= 2) break;
      if (plan.empty()) plan = fallback();
      if (plan.empty()) break;
      narrate_plan(plan);
      std::vector<std::string> queries;
      for (const FollowUp& follow_up : plan) queries.push_back(follow_up.query);
      WENQU_RETURN_IF_ERROR(search(queries));
      ++rounds;
      if (rounds_.back().empty()) break;  // nothing new: further rounds would circle
    }
    return {};
  }

  // A deep answer looks twice. When nothing leads on, the second look is for the question's rarest
  // words alone, which finds what common words drowned.
  std::vector<FollowUp> fallback() {
    auto terms = retriever_.weigh(asked_.query(), true, cancel_);
    if (!terms) return {};
    std::stable_sort(terms->begin(), terms->end(), [](const auto& a, const auto& b) { return a.weight > b.weight; });
    FollowUp next;
    for (const retrieval::WeighedTerm& term : *terms) {
      if (term.is_unigram || next.leads.size() == 4) continue;
      next.leads.push_back(term.text);
      next.query += (next.query.empty() ? "" : " ") + term.text;
    }
    if (next.query.empty()) next.query = asked_.query();
    return {next};
  }

  Status search(const std::vector<std::string>& queries) {
    if (cancel_.cancelled()) return cancel_.status();
    writer_.progress(Progress::Phase::retrieving, 0, queries.size());
    writer_.begin_search(queries);
    // Passages by the best place any of the queries gave them, and by query where places are equal.
    std::vector<Finding> findings;
    std::set<std::pair<std::string, uint32_t>> seen;
    std::vector<std::vector<retrieval::Hit>> lists;
    std::vector<retrieval::SearchRequest> requests;
    for (const std::string& query : queries) {
      retrieval::SearchRequest& request = requests.emplace_back();
      request.query = query;
      request.top = passages_;
      request.sources = request_.sources;
      request.filter = request_.filter;
      request.collapse_duplicates = true;   // what one source says, its reposts add nothing to
      queries_.push_back(query);
    }
    WENQU_ASSIGN_OR_RETURN(std::vector<retrieval::SearchResponse> found, retriever_.search_all(requests, cancel_));
    for (retrieval::SearchResponse& response : found) lists.push_back(std::move(response.hits));
    for (size_t place = 0; place < passages_; ++place)
      for (size_t i = 0; i < lists.size(); ++i)
        if (place < lists[i].size()) {
          retrieval::Hit& hit = lists[i][place];
          if (seen.emplace(hit.passage.document_id, hit.passage.ordinal).second)
            findings.push_back({std::move(hit), queries[i]});
        }
    writer_.end_search(findings);
    writer_.progress(Progress::Phase::retrieving, queries.size(), queries.size());
    --rounds_left_;

    std::vector<const Evidence*> found_now;
    if (const auto& items = writer_.response().items; !items.empty() && items.back().kind == Item::Kind::file_search)
      for (const Evidence* evidence : items.back().results)
        if (found_.insert(evidence->number).second) found_now.push_back(evidence);
    rounds_.push_back(found_now);
    if (!found_now.empty()) latest_ = found_now;
    narrate_found();
    return {};
  }

  // The best of each round in turn, so that what a later search found is not cut off first.
  std::vector<const Evidence*> chosen_evidence() const {
    std::vector<const Evidence*> chosen;
    for (size_t place = 0; chosen.size() < passages_; ++place) {
      bool any = false;
      for (const auto& round : rounds_)
        if (place < round.size() && chosen.size() < passages_) {
          chosen.push_back(round[place]);
          any = true;
        }
      if (!any) break;
    }
    return chosen;
  }

  // ---- what a deep answer shows as its thinking where the generator has none of its own

  void narrate(const std::string& text) {
    if (deep_ && !generator_.thinks()) writer_.think(text);
  }

  void narrate_found() {
    if (rounds_.empty() || rounds_.back().empty()) {
      narrate(chinese() ? "没有找到新的资料。\n" : "Nothing new was found.\n");
      return;
    }
    narrate(fmt::format(fmt::runtime(chinese() ? "新找到 {} 段资料：\n" : "{} new passages:\n"), rounds_.back().size()));
    for (size_t i = 0; i < rounds_.back().size() && i < 3; ++i) {
      const Evidence& evidence = *rounds_.back()[i];
      std::string snippet = evidence.hit.snippet.substr(0, utf8_offset(evidence.hit.snippet, kNarratedChars));
      std::replace(snippet.begin(), snippet.end(), '\n', ' ');
      narrate(fmt::format(fmt::runtime(chinese() ? "- 《{}》：{}\n" : "- {}: {}\n"), evidence.hit.title, snippet));
    }
  }

  void narrate_plan(const std::vector<FollowUp>& plan) {
    for (const FollowUp& next : plan) {
      if (next.from && !next.leads.empty())
        narrate(fmt::format(fmt::runtime(chinese() ? "《{}》提到“{}”，接着检索：{}\n" : "\"{}\" speaks of {}; next search: {}\n"),
                            next.from->hit.title, fmt::join(next.leads, chinese() ? "”“" : ", "), next.query));
      else
        narrate(fmt::format(fmt::runtime(chinese() ? "换成关键词再检索：{}\n" : "Next search, by key words: {}\n"), next.query));
    }
  }

  // ---- generation

  Result<State> generate() {
    writer_.end_thinking();   // what was narrated: composing and reading the prompt is no thinking
    const std::vector<const Evidence*> evidence = chosen_evidence();
    if (evidence.empty() && !generator_.is_extractive())
      writer_.notice("no_evidence", chinese() ? "没有找到支持答案的内容" : "nothing found supports an answer");
    GenerationTask task;
    task.request = &request_;
    task.asked = asked_;
    task.earlier = earlier_;
    task.language = language_;
    task.evidence = evidence;
    task.today = today();
    task.may_search = deep_ && generator_.thinks() && rounds_left_ > 0;
    WENQU_ASSIGN_OR_RETURN(const std::unique_ptr<Generation> generation, generator_.start(task));
    prompt_ = generation->prompt();
    const auto account = [&] {
      const size_t searches = writer_.response().usage.searches;
      writer_.response().usage = generation->usage();
      writer_.response().usage.searches = searches;
    };
    for (;;) {
      Result<GenerationEnd> end = generation->run(*this, cancel_);
      account();
      if (!end) return end.status();
      if (*end == GenerationEnd::paused) {
        if (writer_.stopped()) return stopped();
        if (wanted_query_.empty()) return Status(StatusCode::internal, "the generation paused for no reason");
        const std::string query = std::exchange(wanted_query_, {});
        WENQU_RETURN_IF_ERROR(search({query}));
        const std::vector<const Evidence*>& found = rounds_.back();
        WENQU_RETURN_IF_ERROR(generation->add_evidence(
            query, std::span(found.data(), std::min(found.size(), kFoundInsideThought)), cancel_));
        continue;
      }
      const State state = *end == GenerationEnd::max_tokens ? State::incomplete : State::completed;
      writer_.end_thinking(state);
      writer_.end_answer(state);
      return state;
    }
  }

  bool on_thinking(std::string_view text) override {
    writer_.think(text);
    if (rounds_left_ > 0 && deep_) {
      for (const char c : text) {
        if (c != '\n') {
          line_ += c;
          continue;
        }
        if (wanted_query_.empty()) wanted_query_ = search_request(line_);
        line_.clear();
      }
    }
    return !writer_.stopped() && wanted_query_.empty();
  }

  bool on_thinking_end() override {
    writer_.end_thinking();
    return !writer_.stopped();
  }

  bool on_answer(std::string_view text) override {
    writer_.answer(text);
    return !writer_.stopped();
  }

  bool on_prefill(size_t done, size_t total) override {
    writer_.progress(Progress::Phase::prefill, done, total);
    return !writer_.stopped();
  }

  void on_notice(const Notice& notice) override { writer_.notice(notice.code, notice.message); }

  const retrieval::Retriever& retriever_;
  Generator& generator_;
  const AskRequest& request_;
  const Conversation& earlier_;
  ResponseWriter& writer_;
  const CancelToken& cancel_;
  bool deep_ = false;
  size_t passages_ = 0;
  size_t rounds_left_ = 0;
  Language language_ = Language::english;
  AskedQuestion asked_;
  PromptRecord prompt_;                                 // as the model was given it
  std::vector<std::string> queries_;                    // all made so far
  std::set<int> found_;                                 // numbers of what they found
  std::vector<std::vector<const Evidence*>> rounds_;    // what each search found that was new
  std::vector<const Evidence*> latest_;                 // of the last search that found something new
  std::string line_;                                    // of thinking, not ended yet
  std::string wanted_query_;                            // the thinking asked for this search
};

// Puts what the client kept itself behind `earlier`. Which passages its marks mean is not known.
Status as_turns(const retrieval::Retriever& retriever, const std::vector<Exchange>& history, Conversation& earlier,
                const CancelToken& cancel) {
  Status status;   // what is missing then is what questions lean on
  constexpr size_t kLeantOn = 4;   // questions, at most: what the last of these leans on is looked up for each
  for (size_t i = 0; i < history.size(); ++i) {
    const Exchange& exchange = history[i];
    auto turn = std::make_shared<Turn>();
    turn->question = exchange.question;
    turn->answer = text_without_citations(exchange.answer);
    if (!earlier.empty()) turn->last_number = earlier.back()->last_number;
    if (i + kLeantOn >= history.size() && status) {
      const Result<AskedQuestion> asked = read_question(retriever, exchange.question, earlier, cancel);
      if (asked) turn->subject = asked->subject;
      else status = asked.status();
    }
    earlier.push_back(std::move(turn));
  }
  return status;
}

// Where memory is short the answer is given all the same.
void keep(ConversationMemory& memory, const Response& response, const AskRequest& request, const Conversation& earlier, const Road& road) {
  try {
    memory.keep(response.id, earlier, road.turn(), request.filter.principals);
  } catch (const std::bad_alloc&) {
  }
}

bool was_cut_off(const Status& status) {
  return status.code() == StatusCode::cancelled || status.code() == StatusCode::deadline_exceeded;
}

}  // namespace

Result<Conversation> Assistant::recall(const AskRequest& request) const {
  if (request.previous_response_id.empty()) return Conversation();
  return memory_->find(request.previous_response_id, request.filter.principals);
}

Status Assistant::ask(const AskRequest& request, const EventSink& sink, const CancelToken& cancel) const {
  WENQU_RETURN_IF_ERROR(validate(request));
  WENQU_ASSIGN_OR_RETURN(Conversation earlier, recall(request));
  return ask(request, std::move(earlier), sink, cancel);
}

Status Assistant::ask(const AskRequest& request, Conversation earlier, const EventSink& sink, const CancelToken& cancel) const {
  WENQU_RETURN_IF_ERROR(validate(request));
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (request.time_limit_seconds > 0)
    deadline = request.asked_at.value_or(std::chrono::steady_clock::now()) +
               std::chrono::microseconds(static_cast<int64_t>(request.time_limit_seconds * 1e6));
  const CancelSource limited(cancel, deadline);
  ResponseWriter writer(request, generator_->name(), generator_->is_extractive(), sink);
  const CancelToken token = limited.token();
  State state = State::incomplete;
  Status status;
  try {
    writer.know(earlier);
    writer.begin();
    if (before_each_) before_each_(token);
    status = as_turns(*retriever_, request.history, earlier, token);
    if (status && writer.stopped()) status = Status(StatusCode::cancelled, "the receiver asked to stop");
    Road road(*retriever_, *generator_, request, earlier, writer, token);
    if (status) {
      const Result<State> end = road.travel();
      if (end) state = *end;
      else status = end.status();
    }
    // Whoever sees the final event may ask on from it, also where the answer was cut off.
    if (status || was_cut_off(status)) keep(*memory_, writer.response(), request, earlier, road);
  } catch (const std::bad_alloc&) {
    status = Status(StatusCode::out_of_memory, "not enough memory to answer");
  } catch (const std::exception& error) {
    status = Status(StatusCode::internal, error.what());
  } catch (...) {   // by the receiver of events, say
    status = Status(StatusCode::internal, "an unknown exception");
  }
  if (status && state == State::completed) writer.complete();
  else if (status) writer.incomplete("max_output_tokens");
  else if (was_cut_off(status)) writer.incomplete(status_code_name(status.code()));
  else writer.fail(std::move(status));
  return {};
}

}  // namespace wenqu::assistant
