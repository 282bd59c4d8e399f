// How far apart the processors are on which the threads of a team run.
#pragma once

#include <atomic>
#include <cstdint>

namespace unrolled {

/// A line of memory goes to a neighbouring core and back within 60 to 100 nanoseconds. The host of a virtual machine
/// may place its processors where that takes 500, for seconds: threads that meet every microsecond are slower then than
/// one.
inline constexpr std::int64_t most_ns_when_near = 250;

/// True for a while after threads were found to be far apart.
bool far_apart();
void note_far_apart();

/// One look at a team, about once in a millisecond.
class Distance {
 public:
  /// `asked`: whether anybody wants to know.
  explicit Distance(bool asked, std::int64_t most_ns = most_ns_when_near);
  /// Whether the threads of a team of `count` are near; true where it is not time for a look. All of them ask, and get
  /// the same answer.
  bool near(int id, int count);

 private:
  bool look();
  void answer();

  static constexpr int rounds = 3;  // of which the fastest counts: others may have been interrupted
  const std::int64_t most_ns_;
  const bool due_;
  alignas(128) std::atomic<int> call_{0};  // two lines each: processors fetch them in pairs
  alignas(128) std::atomic<int> echo_{0};
  enum Verdict { Open, Near, Far };
  alignas(128) std::atomic<Verdict> verdict_{Open};
};

}  // namespace unrolled
