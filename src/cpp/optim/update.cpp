#include "optim/update.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "core/threads.h"

namespace unrolled::optim {
namespace {

constexpr Index block = 4096;              // numbers in one partial sum, and the grain that threads share
constexpr Index least_for_team = 1 << 16;  // below, a team costs about what it saves, also where it is awake

double number(const Coefficients& coefficients, const char* name) {
  const auto found = coefficients.find(name);
  if (found == coefficients.end()) throw std::invalid_argument(std::string("coefficient ") + name + " is missing");
  return found->second;
}

// Every rule: how many slots it has, and one element of the update for a packet of elements. `decay` adds decay * p to
// g first.

/// p <- p - rate g
template <class S>
struct Sgd {
  static constexpr int slots = 0;
  Vec<S> rate, decay;

  explicit Sgd(const Coefficients& c) : rate(S(number(c, "rate"))), decay(S(number(c, "decay"))) {}

  void operator()(Vec<S>& p, Vec<S> g, std::array<Vec<S>, slots>&) const { p -= rate * (g + decay * p); }
};

/// v <- momentum v + g; p <- p - rate v, or with Nesterov's form p <- p - rate (g + momentum v)
template <class S>
struct Momentum {
  static constexpr int slots = 1;
  Vec<S> rate, decay, momentum;
  bool nesterov;

  explicit Momentum(const Coefficients& c)
      : rate(S(number(c, "rate"))),
        decay(S(number(c, "decay"))),
        momentum(S(number(c, "momentum"))),
        nesterov(number(c, "nesterov") != 0) {}

  void operator()(Vec<S>& p, Vec<S> g, std::array<Vec<S>, slots>& s) const {
    auto& [v] = s;
    g += decay * p;
    v = momentum * v + g;
    p -= rate * (nesterov ? g + momentum * v : v);
  }
};

/// n <- alpha n + (1 - alpha) g^2; centred: m <- alpha m + (1 - alpha) g, variance = n - m^2, else variance = n;
/// d = g / (sqrt(variance) + eps), or with eps inside the root d = g / sqrt(variance + eps);
/// with momentum v <- momentum v + d, d = v; p <- p - rate d. With eps inside, the rate is inside the velocity.
template <class S, bool centred, bool with_momentum>
struct Rmsprop {
  static constexpr int slots = 1 + centred + with_momentum;
  Vec<S> rate, decay, alpha, rest, eps, momentum;
  bool eps_inside;

  explicit Rmsprop(const Coefficients& c)
      : rate(S(number(c, "rate"))),
        decay(S(number(c, "decay"))),
        alpha(S(number(c, "alpha"))),
        rest(S(1 - number(c, "alpha"))),
        eps(S(number(c, "eps"))),
        momentum(S(number(c, "momentum"))),
        eps_inside(number(c, "eps_inside") != 0) {}

  void operator()(Vec<S>& p, Vec<S> g, std::array<Vec<S>, slots>& s) const {
    g += decay * p;
    Vec<S>& n = s[0];
    n = alpha * n + rest * (g * g);
    Vec<S> variance = n;
    if constexpr (centred) {
      Vec<S>& m = s[1];
      m = alpha * m + rest * g;
      variance = max(n - m * m, Vec<S>::zero());  // rounding can leave it just below zero
    }
    Vec<S> d = eps_inside ? rate * (g / sqrt(variance + eps)) : g / (sqrt(variance) + eps);
    if constexpr (with_momentum) {
      Vec<S>& v = s[slots - 1];
      d = v = momentum * v + d;
    }
    p -= eps_inside ? d : rate * d;
  }
};

/// p <- keep p; m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2; p <- p - rate m / (sqrt(v) / root + eps)
template <class S>
struct Adam {
  static constexpr int slots = 2;
  Vec<S> rate, decay, keep, beta1, rest1, beta2, rest2, root, eps;

  explicit Adam(const Coefficients& c)
      : rate(S(number(c, "rate"))),
        decay(S(number(c, "decay"))),
        keep(S(number(c, "keep"))),
        beta1(S(number(c, "beta1"))),
        rest1(S(1 - number(c, "beta1"))),
        beta2(S(number(c, "beta2"))),
        rest2(S(1 - number(c, "beta2"))),
        root(S(number(c, "root"))),
        eps(S(number(c, "eps"))) {}

  void operator()(Vec<S>& p, Vec<S> g, std::array<Vec<S>, slots>& s) const {
    auto& [m, v] = s;
    g += decay * p;
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * (g * g);
    p = keep * p - rate * (m / (sqrt(v) / root + eps));
  }
};

/// n <- n + g^2; p <- p - rate g / (sqrt(n) + eps)
template <class S>
struct Adagrad {
  static constexpr int slots = 1;
  Vec<S> rate, decay, eps;

  explicit Adagrad(const Coefficients& c)
      : rate(S(number(c, "rate"))), decay(S(number(c, "decay"))), eps(S(number(c, "eps"))) {}

  void operator()(Vec<S>& p, Vec<S> g, std::array<Vec<S>, slots>& s) const {
    auto& [n] = s;
    g += decay * p;
    n += g * g;
    p -= rate * (g / (sqrt(n) + eps));
  }
};

template <class S, class Rule>
void update_range(const Rule& rule, Index begin, Index end, S* p, const S* g, const std::vector<S*>& slots) {
  std::array<Vec<S>, Rule::slots> state;
  for (Index i = begin; i < end; i += lanes<S>) {
    const Index count = end - i;
    Vec<S> value = Vec<S>::load_partial(p + i, count);
    for (std::size_t k = 0; k < state.size(); ++k) state[k] = Vec<S>::load_partial(slots[k] + i, count);
    rule(value, Vec<S>::load_partial(g + i, count), state);
    value.store_partial(p + i, count);
    for (std::size_t k = 0; k < state.size(); ++k) state[k].store_partial(slots[k] + i, count);
  }
}

/// Threads for an update of so many numbers.
int team_for(Index size) { return size < least_for_team || crowded() ? 1 : get_num_threads(); }

/// Calls body(first, last) on whole blocks of [0, size), in a team if that is worth it.
template <class F>
void over_blocks(Index size, F&& body) {
  const Index blocks = (size + block - 1) / block;
  parallel(team_for(size), [&](int id, int count) {
    const Index first = share_begin(blocks, id, count) * block, last = share_begin(blocks, id + 1, count) * block;
    body(first, std::min(last, size));
  });
}

/// Calls use(rule) with the rule of this name and these coefficients, if it has so many slots.
template <class S, class F>
void with_rule(const std::string& name, std::size_t slots, const Coefficients& coefficients, F&& use) {
  const auto try_rule = [&](const auto& rule) {
    if (slots != rule.slots) throw std::invalid_argument("wrong number of slots");
    use(rule);
  };
  if (name == "sgd") return try_rule(Sgd<S>(coefficients));
  if (name == "momentum") return try_rule(Momentum<S>(coefficients));
  if (name == "adam") return try_rule(Adam<S>(coefficients));
  if (name == "adagrad") return try_rule(Adagrad<S>(coefficients));
  if (name != "rmsprop") throw std::invalid_argument("there is no rule " + name);
  const bool centred = number(coefficients, "centred") != 0, with_momentum = number(coefficients, "momentum") != 0;
  if (centred && with_momentum) return try_rule(Rmsprop<S, true, true>(coefficients));
  if (centred) return try_rule(Rmsprop<S, true, false>(coefficients));
  if (with_momentum) return try_rule(Rmsprop<S, false, true>(coefficients));
  try_rule(Rmsprop<S, false, false>(coefficients));
}

}  // namespace

template <class S>
void update(const std::string& rule, Index size, S* p, const S* g, const std::vector<S*>& slots,
            const Coefficients& coefficients) {
  with_rule<S>(rule, slots.size(), coefficients, [&](const auto& one) {
    over_blocks(size, [&](Index first, Index last) { update_range<S>(one, first, last, p, g, slots); });
  });
}

template <class S>
void update_rows(const std::string& rule, Index count, const std::int64_t* rows, Index width, S* p, const S* g,
                 const std::vector<S*>& slots, const Coefficients& coefficients) {
  with_rule<S>(rule, slots.size(), coefficients, [&](const auto& one) {
    parallel(team_for(count * width), [&](int id, int team) {
      std::vector<S*> at(slots.size());
      for (Index n = share_begin(count, id, team); n < share_begin(count, id + 1, team); ++n) {
        const Index first = rows[n] * width;
        for (std::size_t k = 0; k < slots.size(); ++k) at[k] = slots[k] + first;
        update_range<S>(one, 0, width, p + first, g + n * width, at);
      }
    });
  });
}

template <class S>
double sum_of_squares(const S* values, Index size) {
  constexpr int parts = 16;  // independent sums, so that the loop becomes packets of double
  std::vector<double> sums(static_cast<std::size_t>((size + block - 1) / block));
  over_blocks(size, [&](Index first, Index last) {
    for (Index start = first; start < last; start += block) {
      double sum[parts] = {};
      const Index end = std::min(start + block, last);
      Index i = start;
      for (; i + parts <= end; i += parts)
        for (int k = 0; k < parts; ++k) sum[k] += double(values[i + k]) * double(values[i + k]);
      for (; i < end; ++i) sum[0] += double(values[i]) * double(values[i]);
      for (int half = parts / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) sum[k] += sum[k + half];
      sums[static_cast<std::size_t>(start / block)] = sum[0];
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template void update<float>(const std::string&, Index, float*, const float*, const std::vector<float*>&,
                            const Coefficients&);
template void update<double>(const std::string&, Index, double*, const double*, const std::vector<double*>&,
                             const Coefficients&);
template void update_rows<float>(const std::string&, Index, const std::int64_t*, Index, float*, const float*,
                                 const std::vector<float*>&, const Coefficients&);
template void update_rows<double>(const std::string&, Index, const std::int64_t*, Index, double*, const double*,
                                  const std::vector<double*>&, const Coefficients&);
template double sum_of_squares<float>(const float*, Index);
template double sum_of_squares<double>(const double*, Index);

}  // namespace unrolled::optim
