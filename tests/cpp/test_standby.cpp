// Threads on standby: they answer at once, or nothing has run.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/standby.h"
#include "threads_guard.h"

namespace {

using namespace unrolled;
using testing::happens;
using testing::Threads;

/// What the threads of one team leave behind, in plain memory.
struct Traces {
  explicit Traces(int wanted) : counts(static_cast<std::size_t>(wanted), 0) {}
  bool run() {
    const auto body = [](void* context, int id, int count) {
      static_cast<Traces*>(context)->counts[static_cast<std::size_t>(id)] += count;
    };
    return standby::run(static_cast<int>(counts.size()), body, this);
  }
  bool all(int value) const {
    for (const int count : counts)
      if (count != value) return false;
    return true;
  }
  std::vector<int> counts;
};

TEST_CASE("threads on standby all run once, with the same count, or none runs") {
  const auto round = [](int wanted) {
    standby::ready(wanted - 1);
    Traces traces(wanted);
    const bool done = traces.run();
    CHECK(traces.all(done ? wanted : 0));
    return done;
  };
  int done = 0;
  CHECK(happens([&] { return (done += round(2)) == 1000; }));
  for (const int wanted : {3, standby::most, 2})  // more than this machine may have cores: some are late
    for (int k = 0; k < 300; ++k) round(wanted);
}

TEST_CASE("threads on standby sleep after a while, and are woken") {
  CHECK(happens([] { return standby::ready(1); }));
  CHECK(happens([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return !Traces(2).run();
  }));
  CHECK(happens([] { return standby::ready(1) && Traces(2).run(); }));
}

TEST_CASE("more threads than there can be are never ready") { CHECK_FALSE(standby::ready(1000)); }

TEST_CASE("work for awake threads only runs alone where they sleep") {
  Threads threads(2);
  CHECK(happens([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    int members = 0;
    parallel({2, true}, [&](int id, int count) {
      if (id == 0) members = count;
    });
    return members == 1;
  }));
}

#if !defined(__SANITIZE_THREAD__)  // the thread sanitizer stops a child that starts threads
#if defined(__linux__) && !defined(__SANITIZE_THREAD__)
/// Whether every thread but this one blocks a signal, by what the system says of them; there are `count` of them.
bool others_block(int signal, int* count) {
  bool all = true;
  *count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    if (entry.path().filename() == std::to_string(getpid())) continue;
    ++*count;
    std::ifstream status(entry.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.rfind("SigBlk:", 0) == 0) all = all && (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1)) & 1;
  }
  return all;
}

TEST_CASE("threads of the library leave signals to the program, but see their own faults") {
  Threads threads(2);
  CHECK(happens([] { return standby::ready(1); }));
  CHECK(happens([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // those on standby sleep, and others are made
    int team = 1;
    parallel(2, [&](int id, int count) {
      if (id == 0) team = count;
    });
    return team == 2;
  }));
  int count = 0;
  CHECK(others_block(SIGUSR1, &count));
  CHECK(others_block(SIGINT, &count));
  CHECK(count >= 2);
  CHECK_FALSE(others_block(SIGSEGV, &count));
}
#endif

TEST_CASE("a child after fork has threads on standby of its own") {
  CHECK(happens([] { return standby::ready(1); }));
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang ends the child with a signal
    const bool none = !Traces(2).run();
    Traces traces(2);
    const bool own = happens([&] { return standby::ready(1) && traces.run(); });
    _exit(none && own && traces.all(2) ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(happens([] { return standby::ready(1) && Traces(2).run(); }));
}
#endif

}  // namespace
