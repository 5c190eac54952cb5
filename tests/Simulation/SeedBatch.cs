// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Runs many seeds, each on one thread, as many at a time as there are cores. Nothing is shared between two runs.
/// </summary>
internal sealed class SeedBatch(int first, int count, Func<int, SeedOutcome> run)
{
    /// <summary>Most failing seeds that are kept; the run ends when there are that many.</summary>
    private const int MostFailures = 20;

    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(30);
    private readonly Lock _gate = new();
    private readonly List<SeedOutcome> _failures = [];
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private int _begun;
    private int _done;
    private TimeSpan _told;

    /// <summary>Seeds that have been run.</summary>
    public int Done => _done;

    /// <summary>Seeds that broke an invariant, in order.</summary>
    public IReadOnlyList<SeedOutcome> Failures => _failures;

    /// <summary>Runs some seeds, or the one asked for, with its log, and fails when one breaks a rule.</summary>
    /// <param name="seeds">How many.</param>
    /// <param name="test">The test that runs one of them again.</param>
    /// <param name="run">Runs a seed; whether to keep its log.</param>
    public static void Check(int seeds, string test, Func<int, bool, SeedOutcome> run)
    {
        bool one = SeedSettings.One is not null;
        var batch = new SeedBatch(SeedSettings.One ?? SeedSettings.First, one ? 1 : seeds, seed =>
        {
            var outcome = run(seed, one);
            if (one)
                SeedSettings.Write(outcome);
            return outcome with { Test = test };
        });
        batch.Run();
        Assert.True(batch.Failures.Count == 0, batch.ToString());
    }

    /// <summary>Runs all of them.</summary>
    public void Run()
    {
        var workers = new Thread[Math.Min(count, Environment.ProcessorCount)];
        for (int i = 0; i < workers.Length; i++)
        {
            workers[i] = new Thread(Work) { Name = $"seeds-{i}", IsBackground = true };
            // Without the test framework's context: every step of a run would carry it along.
            workers[i].UnsafeStart();
        }

        foreach (var worker in workers)
            worker.Join();
        _failures.Sort((a, b) => a.Seed.CompareTo(b.Seed));
    }

    /// <inheritdoc/>
    public override string ToString() => string.Join("\n\n",
        [$"{_failures.Count} of {_done} seeds failed in {_clock.Elapsed:hh\\:mm\\:ss}", .. _failures]);

    private void Work()
    {
        while (true)
        {
            int at = Interlocked.Increment(ref _begun) - 1;
            if (at >= count)
                return;
            var outcome = Outcome(first + at);
            lock (_gate)
            {
                _done++;
                if (outcome.Violations.Count > 0)
                {
                    _failures.Add(outcome);
                    Console.Error.WriteLine(outcome);
                }

                Tell();
                if (_failures.Count >= MostFailures)
                    return;
            }
        }
    }

    /// <summary>What came of a seed; a run that did not come to its end is a violation like any other.</summary>
    private SeedOutcome Outcome(int seed)
    {
        try
        {
            return run(seed);
        }
        catch (Exception e)
        {
            return new SeedOutcome(seed, [new Violation("a run comes to its end", e.ToString())], 0, 0, []);
        }
    }

    private void Tell()
    {
        if (_clock.Elapsed - _told < TellEvery)
            return;
        _told = _clock.Elapsed;
        Console.Error.WriteLine($"{_told:hh\\:mm\\:ss} {_done} of {count} seeds, {_failures.Count} failed, "
            + $"{_done / _told.TotalSeconds:0.0} a second, {Environment.WorkingSet >> 20} MiB");
    }
}
