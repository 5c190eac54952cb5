// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// The rails to one peer. A large read is cut in slices, each of which goes where it will arrive first: where (bytes in
/// flight + slice) / speed is least. A slice that failed is read again over another rail, once its own connection has
/// let go of the memory (rule A4). Thread-safe.
/// </summary>
internal sealed class RailSet : IAsyncDisposable
{
    /// <summary>Smallest read that is cut in slices, in bytes.</summary>
    public const long SmallestRead = 4 << 20;

    /// <summary>Length of a slice, in bytes; longer where the object's checksum has longer ones.</summary>
    private const long SliceBytes = 1 << 20;

    /// <summary>Slices that wait at a rail for each of its connections, that under way included.</summary>
    private const int Depth = 2;

    /// <summary>Times a slice is tried in all.</summary>
    private const int MostTries = 4;

    /// <summary>So many times slower than expected, and the slack more, a slice is taken for stuck.</summary>
    private const double Stuck = 8;

    private static readonly TimeSpan Slack = TimeSpan.FromMilliseconds(500);

    private readonly Lock _lock = new();
    private readonly Rail[] _rails;
    private readonly TimeProvider _time;
    private readonly int _window;
    private long _retries;

    /// <param name="rails">At least two.</param>
    /// <param name="connections">Connections of each.</param>
    /// <param name="time">Clock.</param>
    public RailSet(Rail[] rails, int connections, TimeProvider time)
    {
        _rails = rails;
        _time = time;
        _window = connections * Depth;
    }

    /// <summary>The rails.</summary>
    public IReadOnlyList<Rail> Rails => _rails;

    /// <summary>Slices that failed on one rail and were read again.</summary>
    public long Retries => Volatile.Read(ref _retries);

    /// <summary>Whether the threads of all rails are gone.</summary>
    public bool HasEnded => Array.TrueForAll(_rails, static rail => rail.Queue.HasEnded);

    /// <summary>
    /// The pairs of addresses to reach a peer by, at most <see cref="TcpTransport.MostConnections"/>: the addresses of
    /// both sides in the order they are given, the shorter list over again. Less than two: there are no rails.
    /// </summary>
    public static RailPair[] Pairs(IReadOnlyList<string> ours, NodeRecord node)
    {
        var theirs = node.Rails.Count > 0 ? node.Rails : node.Endpoints;
        if (theirs.Count == 0)
            return [];
        int count = Math.Min(Math.Max(ours.Count, node.Rails.Count), TcpTransport.MostConnections);
        var pairs = new RailPair[count];
        for (int i = 0; i < count; i++)
            pairs[i] = new RailPair(ours.Count > 0 ? ours[i % ours.Count] : "", theirs[i % theirs.Count]);
        return pairs;
    }

    /// <summary>Takes no more reads; those under way go on.</summary>
    public void Retire()
    {
        foreach (var rail in _rails)
            rail.Queue.Retire();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var rail in _rails)
            await rail.Queue.DisposeAsync();
    }

    /// <summary>Reads over all rails.</summary>
    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        var run = new Run(read, destination.Address, SliceOf(read.Sums), new Limit(_time, timeout, cancel));
        var tasks = new List<Task<TransferOutcome>>(_rails.Length * _window);
        var slices = new List<Given>(_rails.Length * _window);
        var outcome = TransferOutcome.Done;
        while (true)
        {
            while (outcome == TransferOutcome.Done && run.TryPeek(out int index)
                && Pick(run.LengthOf(index)) is { } rail)
                Give(run, run.Next(), rail, tasks, slices);
            if (tasks.Count == 0)
                break;

            // Every task ends only when its thread has let go of the memory: so none is left behind.
            var ended = await Task.WhenAny(tasks);
            int at = tasks.IndexOf(ended);
            var given = slices[at];
            tasks.RemoveAt(at);
            slices.RemoveAt(at);
            var result = Note(run, given, await ended);
            if (outcome == TransferOutcome.Done)
                outcome = result;
        }

        return outcome == TransferOutcome.Done && !run.IsWhole ? TransferOutcome.Unreachable : outcome;
    }

    private static long SliceOf(SliceSums? sums) => Math.Max(SliceBytes, sums?.SliceBytes ?? 0);

    /// <summary>The rail on which a slice arrives first; null: each is full or pauses.</summary>
    private Rail? Pick(long bytes)
    {
        lock (_lock)
        {
            double fastest = 1;
            foreach (var rail in _rails)
                fastest = Math.Max(fastest, rail.Speed);
            Rail? best = null;
            double least = double.MaxValue;
            foreach (var rail in _rails)
            {
                if (rail.IsPausing || rail.Slices >= _window)
                    continue;
                // One that was never measured is taken for as fast as the others, or it would never be.
                double cost = (rail.InFlight + bytes) / (rail.Speed > 0 ? rail.Speed : fastest);
                if (cost < least)
                    (best, least) = (rail, cost);
            }

            best?.Begin(bytes);
            return best;
        }
    }

    private void Give(Run run, int index, Rail rail, List<Task<TransferOutcome>> tasks, List<Given> slices)
    {
        long length = run.LengthOf(index);
        var sums = run.SumsOf(index);
        var job = new TcpJob(run.RequestOf(index), new NativeRange(run.AddressOf(index), length), sums);
        long ahead = rail.InFlight;
        slices.Add(new Given(rail, index, sums, ahead, _time.GetTimestamp()));
        // A card that has gone dead breaks no connection: the slice must not wait for it until the read is late.
        var left = run.Limit.Left;
        var patience = rail.Speed > 0 ? Slack + TimeSpan.FromSeconds(Stuck * ahead / rail.Speed) : left / 2;
        tasks.Add(rail.Queue.TryAdd(job)
            ? job.EndAsync(patience < left ? patience : left, _time, run.Limit.Cancel)
            : Outcomes.Unreachable);
    }

    private TransferOutcome Note(Run run, in Given given, TransferOutcome outcome)
    {
        long bytes = run.LengthOf(given.Index);
        if (outcome == TransferOutcome.Late && !run.Limit.IsOver)
            outcome = TransferOutcome.Unreachable;
        lock (_lock)
        {
            if (outcome == TransferOutcome.Done)
                given.Rail.Arrived(bytes, given.Ahead, _time.GetElapsedTime(given.Since));
            else if (outcome == TransferOutcome.Unreachable)
                given.Rail.Failed(bytes);
            else
                given.Rail.End(bytes);
        }

        if (outcome == TransferOutcome.Done)
            run.Arrived(given.Index, given.Sums);
        if (outcome != TransferOutcome.Unreachable || !run.TryAgain(given.Index))
            return outcome;
        Interlocked.Increment(ref _retries);
        return TransferOutcome.Done;
    }

    /// <summary>A slice that was given to a rail.</summary>
    private readonly record struct Given(Rail Rail, int Index, SliceSums? Sums, long Ahead, long Since);

    /// <summary>When a read has to end.</summary>
    private readonly struct Limit(TimeProvider time, TimeSpan timeout, CancellationToken cancel)
    {
        private readonly long _start = time.GetTimestamp();

        public TimeSpan Left => timeout - time.GetElapsedTime(_start);

        public CancellationToken Cancel => cancel;

        public bool IsOver => cancel.IsCancellationRequested || Left <= TimeSpan.Zero;
    }

    /// <summary>One read and which of its slices are still to be had. Used by one thread at a time.</summary>
    private sealed class Run(ExtentRead read, nint address, long sliceBytes, Limit limit)
    {
        private readonly byte[] _tries = new byte[(read.Length + sliceBytes - 1) / sliceBytes];
        private readonly Stack<int> _again = new();
        private int _next;
        private int _arrived;

        public Limit Limit => limit;

        public bool IsWhole => _arrived == _tries.Length;

        public long LengthOf(int index) => Math.Min(sliceBytes, read.Length - (index * sliceBytes));

        public nint AddressOf(int index) => (nint)(address + (index * sliceBytes));

        public bool TryPeek(out int index)
        {
            if (_again.TryPeek(out index))
                return true;
            index = _next;
            return _next < _tries.Length;
        }

        public int Next()
        {
            int index = _again.TryPop(out int again) ? again : _next++;
            _tries[index]++;
            return index;
        }

        public bool TryAgain(int index)
        {
            if (_tries[index] >= MostTries)
                return false;
            _again.Push(index);
            return true;
        }

        public DataRequest RequestOf(int index) => new(DataOperation.Read, read.SegmentId, 0, read.Offset,
            read.Generation, LengthOf(index), read.Skip + (index * sliceBytes));

        public SliceSums? SumsOf(int index) => read.Sums is { } sums
            ? new SliceSums(sums.ObjectSize, (sums.First * sums.SliceBytes) + (index * sliceBytes), LengthOf(index))
            : null;

        public void Arrived(int index, SliceSums? sums)
        {
            _arrived++;
            sums?.Values.CopyTo(read.Sums!.Values, index * (sliceBytes / sums.SliceBytes));
        }
    }
}
