// Signals of the program, and threads that are not its own.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace unrolled {

/// Threads that begin while it lives leave signals to those of the program, but for those that a thread causes itself,
/// which a handler of crashes wants to see.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t others;
    sigfillset(&others);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&others, own);
    pthread_sigmask(SIG_SETMASK, &others, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

}  // namespace unrolled
