// SPDX-License-Identifier: Apache-2.0

using HdrHistogram;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>Counts what a replay sees, from all its workers. Thread-safe.</summary>
internal sealed class ReplayStatistics(TimeProvider time, TimeSpan deadline)
{
    /// <summary>How long after its deadline a call may return before it counts as late.</summary>
    internal static readonly TimeSpan Allowance = TimeSpan.FromMilliseconds(100);

    private const long MaxMicroseconds = 3_600_000_000;
    private const int Digits = 3;

    private readonly Lock _gate = new();
    private readonly LongHistogram _gets = new(MaxMicroseconds, Digits);
    private readonly LongHistogram _puts = new(MaxMicroseconds, Digits);
    private readonly long _start = time.GetTimestamp();
    private ReplayReport _counts = new();
    private long _lastAnswer;
    private int _running;
    private double _gapMs;
    private double _gapAfterKillMs = -1;

    /// <summary>A request begins. The wait before the first of several does not count as a gap.</summary>
    internal void Begin()
    {
        lock (_gate)
        {
            if (_running++ == 0)
                _lastAnswer = time.GetTimestamp();
        }
    }

    /// <summary>A request has ended; how many have.</summary>
    internal long End(int blocks, int hits, int prefix)
    {
        lock (_gate)
        {
            _running--;
            _counts = _counts with
            {
                Requests = _counts.Requests + 1,
                Blocks = _counts.Blocks + blocks,
                BlockHits = _counts.BlockHits + hits,
                PrefixHits = _counts.PrefixHits + prefix,
            };
            return _counts.Requests;
        }
    }

    /// <summary>A node is being killed: the gap after it counts from here.</summary>
    internal void Kill()
    {
        lock (_gate)
        {
            _lastAnswer = time.GetTimestamp();
            _gapAfterKillMs = 0;
        }
    }

    /// <summary>A match has returned.</summary>
    internal void Matched(long began, MeshError? error)
    {
        lock (_gate)
        {
            Answered(began, error is null);
            if (error is not null)
                Failed(error);
        }
    }

    /// <summary>A get of a batch has returned.</summary>
    internal void Got(long began, IReadOnlyList<MeshResult<byte[]>> results, long wrongBytes)
    {
        lock (_gate)
        {
            _gets.RecordValue(Answered(began, results.Any(result => result.Succeeded)));
            foreach (MeshResult<byte[]> result in results)
            {
                if (result.Error is { Code: not MeshErrorCode.NotFound } error)
                    Failed(error);
            }

            _counts = _counts with
            {
                BytesGot = _counts.BytesGot + results.Sum(result => result.Succeeded ? result.Value.Length : 0L),
                WrongBytes = _counts.WrongBytes + wrongBytes,
            };
        }
    }

    /// <summary>A put of a batch has returned.</summary>
    internal void Put(long began, IReadOnlyList<MeshResult<PutOutcome>> results, int blockSize)
    {
        lock (_gate)
        {
            _puts.RecordValue(Answered(began, results.Any(result => result.Succeeded)));
            int stored = results.Count(result => result is { Succeeded: true, Value.Existed: false });
            _counts = _counts with
            {
                BytesPut = _counts.BytesPut + ((long)stored * blockSize),
                PutErrors = _counts.PutErrors + results.Count(result => !result.Succeeded),
            };
        }
    }

    /// <summary>Everything up to now.</summary>
    internal ReplayReport Report()
    {
        lock (_gate)
        {
            return _counts with
            {
                LongestGapMs = _gapMs,
                LongestGapAfterKillMs = _gapAfterKillMs,
                GetP50Us = Percentile(_gets, 50),
                GetP99Us = Percentile(_gets, 99),
                PutP50Us = Percentile(_puts, 50),
                PutP99Us = Percentile(_puts, 99),
                Seconds = time.GetElapsedTime(_start).TotalSeconds,
            };
        }
    }

    private static long Percentile(LongHistogram histogram, double percentile) =>
        histogram.TotalCount == 0 ? 0 : histogram.GetValueAtPercentile(percentile);

    private long Answered(long began, bool succeeded)
    {
        long now = time.GetTimestamp();
        TimeSpan took = time.GetElapsedTime(began, now);
        if (took > deadline + Allowance)
            _counts = _counts with { LateCalls = _counts.LateCalls + 1 };
        if (succeeded)
        {
            double gap = time.GetElapsedTime(_lastAnswer, now).TotalMilliseconds;
            _gapMs = Math.Max(_gapMs, gap);
            if (_gapAfterKillMs >= 0)
                _gapAfterKillMs = Math.Max(_gapAfterKillMs, gap);
            _lastAnswer = now;
        }

        return Math.Clamp((long)took.TotalMicroseconds, 1, MaxMicroseconds);
    }

    private void Failed(MeshError error) => _counts = _counts with
    {
        GetErrors = _counts.GetErrors + 1,
        GetTimeouts = _counts.GetTimeouts + (error.Code == MeshErrorCode.DeadlineExceeded ? 1 : 0),
    };
}
