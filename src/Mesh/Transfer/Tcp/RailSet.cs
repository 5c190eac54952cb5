// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Net;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// The rails to one peer. A large read is cut in slices, each of which goes where it will arrive first: where (bytes in
/// flight + slice) / speed is least. A slice that failed is read again over another rail, once its own connection has
/// let go of the memory (rule A4). A rail that failed pauses, and carries slices again after a probe has got through;
/// while all of them pause, the peer's endpoint carries the slices. Thread-safe.
/// </summary>
internal sealed class RailSet : IAsyncDisposable
{
    /// <summary>Smallest read that is cut in slices, in bytes.</summary>
    public const long SmallestRead = 4 << 20;

    /// <summary>Most addresses of a node or client.</summary>
    public const int MostRails = 8;

    /// <summary>Most data connections to one peer by its rails together.</summary>
    public const int MostConnections = 8;

    /// <summary>
    /// Most reads at a time; further ones are not cut. So no rail ever has more waiting than it takes.
    /// </summary>
    public const int MostReads = TcpTransport.MostWaiting / (MostOfARail * Depth);

    /// <summary>Most connections of one rail.</summary>
    private const int MostOfARail = 2;

    /// <summary>
    /// Slices of one read that are given to a rail for each of its connections: the one under way, and the next.
    /// </summary>
    private const int Depth = 2;

    /// <summary>A slice that takes so many times longer than it should, and the slack more, is stuck.</summary>
    private const double Stuck = 8;

    private static readonly TimeSpan Slack = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly Rail[] _rails;
    private readonly Rail _endpoint;
    private readonly RailCounters _counters;
    private readonly TimeProvider _time;
    private readonly int _window;
    private int _reads;

    /// <param name="queues">Connections of each rail, at least two, and which of our addresses each leaves by.</param>
    /// <param name="endpoint">The connections that small reads take.</param>
    /// <param name="connections">Connections of each rail.</param>
    /// <param name="counters">What is counted.</param>
    /// <param name="time">Clock.</param>
    public RailSet(IReadOnlyList<(JobQueue<TcpJob> Queue, int Card)> queues, JobQueue<TcpJob> endpoint, int connections,
        RailCounters counters, TimeProvider time)
    {
        _rails = new Rail[queues.Count];
        for (int i = 0; i < _rails.Length; i++)
            _rails[i] = new Rail(i, queues[i].Card, queues[i].Queue, time);
        _endpoint = new Rail(_rails.Length, counters.Cards, endpoint, time);
        _counters = counters;
        _time = time;
        _window = connections * Depth;
    }

    /// <summary>The rails.</summary>
    public IReadOnlyList<Rail> Rails => _rails;

    /// <summary>Whether the threads of all rails are gone.</summary>
    public bool HasEnded => Array.TrueForAll(_rails, static rail => rail.Queue.HasEnded);

    /// <summary>
    /// The pairs of addresses to reach a peer by: the addresses of both sides in the order they are given, the shorter
    /// list over again; a pair of an IPv4 and an IPv6 address is none. Less than two: there are no rails.
    /// </summary>
    public static (RailPair Pair, int Card)[] Pairs(IReadOnlyList<string> ours, NodeRecord node)
    {
        // The record is another's: it may hold more than is legal, and what is no address.
        int theirs = Math.Min(node.Rails.Count, MostRails);
        if (ours.Count == 0 || theirs == 0)
            return [];
        var pairs = new List<(RailPair, int)>();
        for (int i = 0; i < Math.Max(ours.Count, theirs); i++)
        {
            var pair = new RailPair(ours[i % ours.Count], node.Rails[i % theirs]);
            if (IPEndPoint.TryParse(pair.To ?? "", out var to) && to.Port != 0
                && to.AddressFamily == IPAddress.Parse(pair.From).AddressFamily)
                pairs.Add((pair, i % ours.Count));
        }

        return pairs.Count < 2 ? [] : [.. pairs];
    }

    /// <summary>Connections of each of so many rails.</summary>
    public static int ConnectionsOf(int rails) => Math.Clamp(MostConnections / rails, 1, MostOfARail);

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

    /// <summary>Whether one more read may be cut; it must be followed by <see cref="ReadAsync"/>.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _reads) <= MostReads)
            return true;
        Interlocked.Decrement(ref _reads);
        return false;
    }

    /// <summary>Reads over all rails, after <see cref="TryEnter"/>.</summary>
    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        var run = new RailRead(read, destination.Address, _rails.Length + 1, _time, timeout);
        var tasks = new List<Task<TransferOutcome>>(_rails.Length * _window);
        var slices = new List<Given>(_rails.Length * _window);
        var outcome = TransferOutcome.Done;
        while (true)
        {
            while (outcome == TransferOutcome.Done && run.TryPeek(out int index)
                && Pick(run, run.LengthOf(index), out var given))
            {
                tasks.Add(Start(run, given, out var started, cancel));
                slices.Add(started);
            }

            if (tasks.Count == 0)
                break;

            // Every task ends only when its thread has let go of the memory: so none is left behind.
            var ended = await Task.WhenAny(tasks);
            int at = tasks.IndexOf(ended);
            var result = Note(run, slices[at], await ended, cancel);
            tasks.RemoveAt(at);
            slices.RemoveAt(at);
            if (outcome == TransferOutcome.Done)
                outcome = result;
        }

        Interlocked.Decrement(ref _reads);
        return outcome == TransferOutcome.Done && !run.IsWhole ? TransferOutcome.Unreachable : outcome;
    }

    /// <summary>The rail on which a slice arrives first; null: all pause.</summary>
    internal static Rail? First(ReadOnlySpan<Rail> rails, long bytes)
    {
        double fastest = 1;
        foreach (var rail in rails)
            fastest = Math.Max(fastest, rail.Speed);
        Rail? best = null;
        double least = double.MaxValue;
        foreach (var rail in rails)
        {
            double cost = (rail.InFlight + bytes) / rail.SpeedOr(fastest);
            if (!rail.IsPausing && cost < least)
                (best, least) = (rail, cost);
        }

        return best;
    }

    /// <summary>Gives a slice to the rail on which it arrives first; false: that one is full.</summary>
    private bool Pick(RailRead run, long bytes, out Given given)
    {
        lock (_lock)
        {
            foreach (var rail in _rails)
            {
                if (rail.TryBeginProbe())
                    _ = ProbeAsync(rail);
            }

            // The endpoint never pauses: there is nothing left to try first, and a slice is tried so many times only.
            var best = First(_rails, bytes) ?? _endpoint;
            // A full one that is still the first to be done is waited for: a slow one would hold the read up.
            bool full = run.UnderWay(best) >= _window;
            given = full ? default : new Given(best, best.Begin(bytes), best.Failures, _time.GetTimestamp());
            return !full;
        }
    }

    private Task<TransferOutcome> Start(RailRead run, Given given, out Given started, CancellationToken cancel)
    {
        var (index, lastTry) = run.Give(given.Rail);
        var job = run.JobOf(index, out var sums);
        var left = run.Left;
        var patience = PatienceWith(given, left, lastTry);
        started = given with { Index = index, Sums = sums, HasAllTime = patience == left };
        return given.Rail.Queue.TryAdd(job) ? job.EndAsync(patience, _time, cancel) : Outcomes.Unreachable;
    }

    /// <summary>
    /// How long a slice may take: a card that has gone dead breaks no connection, and the slice must not wait for it
    /// until the whole read is late.
    /// </summary>
    private TimeSpan PatienceWith(in Given given, TimeSpan left, bool lastTry)
    {
        if (lastTry || given.Rail == _endpoint || left <= Slack)
            return left;
        if (given.Rail.Speed <= 0)
            return left / 2;
        var patience = Slack + TimeSpan.FromSeconds(Math.Min(Stuck * given.Ahead / given.Rail.Speed, 3600));
        return patience < left / 2 ? patience : left / 2;
    }

    private TransferOutcome Note(RailRead run, in Given given, TransferOutcome outcome, CancellationToken cancel)
    {
        var rail = given.Rail;
        long bytes = run.LengthOf(given.Index);
        // A read that ends breaks the connections under its slices, and one in a hurry gives them little time: neither
        // says anything about the rail.
        bool over = run.Left <= TimeSpan.Zero || cancel.IsCancellationRequested
            || (outcome == TransferOutcome.Late && given.HasAllTime);
        bool failed = !over && (outcome == TransferOutcome.Unreachable
            || (outcome == TransferOutcome.Late && _time.GetElapsedTime(given.Since) >= Slack));
        if (outcome is TransferOutcome.Late or TransferOutcome.Unreachable)
            outcome = over ? TransferOutcome.Late : TransferOutcome.Unreachable;
        bool pauses = false;
        lock (_lock)
        {
            if (outcome == TransferOutcome.Done)
                rail.Arrived(bytes, given.Ahead, _time.GetElapsedTime(given.Since));
            else if (failed && rail != _endpoint)
                pauses = rail.Failed(bytes, given.Failures);
            else
                rail.End(bytes);
        }

        if (pauses)
            _counters.Paused();
        if (outcome == TransferOutcome.Done)
        {
            run.Arrived(rail, given.Index, given.Sums);
            _counters.Arrived(rail.Card, bytes);
        }

        if (outcome != TransferOutcome.Unreachable || !run.TryAgain(rail, given.Index))
            return outcome;
        _counters.Retried();
        return TransferOutcome.Done;
    }

    /// <summary>
    /// Asks for nothing over a rail whose pause is over. No get waits for it, and it touches no caller's memory.
    /// </summary>
    private async Task ProbeAsync(Rail rail)
    {
        var probe = new TcpJob(new DataRequest(DataOperation.Read, 0, 0, 0, 0, 0), default, null);
        var outcome = rail.Queue.TryAdd(probe)
            ? await probe.EndAsync(ProbeLimit, _time, CancellationToken.None)
            : TransferOutcome.Unreachable;
        // No extent has the generation 0: an answer says just that.
        lock (_lock)
            rail.Probed(outcome is TransferOutcome.Stale or TransferOutcome.Done);
    }

    /// <summary>A slice that was given to a rail.</summary>
    private readonly record struct Given(Rail Rail, long Ahead, int Failures, long Since, int Index = 0,
        SliceSums? Sums = null, bool HasAllTime = false);
}
