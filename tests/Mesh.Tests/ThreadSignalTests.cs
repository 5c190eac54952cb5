// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests;

public sealed class ThreadSignalTests
{
    [Fact]
    public void What_is_set_before_the_wait_ends_it_and_once()
    {
        var signal = ThreadSignal.Own;
        signal.Set();
        signal.Set();
        Assert.True(signal.Wait(TimeSpan.FromSeconds(10)));
        Assert.False(signal.Wait(TimeSpan.FromMilliseconds(1)));
        Assert.False(signal.Wait(TimeSpan.Zero));
        Assert.Same(signal, ThreadSignal.Own);
    }

    [Fact]
    public void Two_threads_that_wait_for_each_other_never_miss_a_signal()
    {
        const int Rounds = 20_000;
        int turn = 0;
        var signals = new ThreadSignal?[2];
        using var ready = new Barrier(2);
        var threads = new Thread[2];
        for (int i = 0; i < 2; i++)
        {
            int me = i;
            threads[i] = new Thread(() =>
            {
                signals[me] = ThreadSignal.Own;
                ready.SignalAndWait();
                for (int round = 0; round < Rounds; round++)
                {
                    while (Volatile.Read(ref turn) % 2 != me)
                        signals[me]!.Wait(Timeout.InfiniteTimeSpan);
                    Interlocked.Increment(ref turn);
                    signals[1 - me]!.Set();
                }
            });
            threads[i].Start();
        }

        Assert.All(threads, thread => Assert.True(thread.Join(TimeSpan.FromSeconds(120))));
        Assert.Equal(2 * Rounds, turn);
    }

    [Fact]
    public void Of_those_that_wait_one_or_all_are_set_and_none_that_has_left()
    {
        var all = new List<ThreadSignal>();
        for (int i = 0; i < 4; i++)
        {
            var thread = new Thread(() => all.Add(ThreadSignal.Own));
            thread.Start();
            thread.Join();
        }

        var waiting = default(ThreadSignals);
        foreach (var signal in all)
            waiting.Add(signal);
        waiting.Add(all[1]);
        waiting.Remove(all[2]);
        waiting.TakeOne()!.Set();
        Assert.Equal([1], IsSet());
        waiting.SetAll();
        Assert.Equal([0, 3], IsSet());
        waiting.SetAll();
        Assert.Empty(IsSet());

        int[] IsSet() => [.. Enumerable.Range(0, 4).Where(i => all[i].Wait(TimeSpan.FromTicks(1)))];
    }
}
