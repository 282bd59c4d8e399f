#include "bindings/task.h"

#include <algorithm>
#include <exception>

#include "core/threads.h"

namespace unrolled::bindings {
namespace {

/// A core for each, and more left over only where a call is too small to share its own; else a team of one.
Team team_of(const std::vector<Task>& tasks) {
  constexpr double small = 2e7;
  double total = 0, most = 0;
  for (const Task& task : tasks) {
    total += task.work;
    most = std::max(most, task.work);
  }
  const int threads = get_num_threads(), count = static_cast<int>(tasks.size());
  if (count < 2 || threads < 2 || (threads > count && most >= small)) return 1;
  return team_for(total, count);
}

}  // namespace

void run(const std::vector<Task>& tasks) {
  const pybind11::gil_scoped_release release;
  const Team team = team_of(tasks);
  if (team.wanted == 1) {
    for (const Task& task : tasks) task.run();
    return;
  }
  // The longest first, to the first thread: it is watched, and a wait for others that have more to do by right would
  // be taken for a crowded machine.
  std::vector<const Task*> by_work;
  for (const Task& task : tasks) by_work.push_back(&task);
  std::stable_sort(by_work.begin(), by_work.end(), [](const Task* a, const Task* b) { return a->work > b->work; });
  std::vector<std::exception_ptr> errors(tasks.size());
  parallel(team, [&](int id, int count) {
    for (std::size_t k = std::size_t(id); k < tasks.size(); k += std::size_t(count)) {
      try {
        by_work[k]->run();
      } catch (...) {
        errors[k] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace unrolled::bindings
