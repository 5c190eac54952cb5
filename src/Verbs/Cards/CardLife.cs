// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Diagnostics;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Cards;

/// <summary>
/// A device from when it is opened until it is lost or closed, with one thread that takes its completions: it polls
/// while there are any and a little longer, then sleeps until the card wakes it. Thread-safe.
/// </summary>
internal sealed unsafe class CardLife
{
    private const int MostTakenAtOnce = 32;

    /// <summary>How long the thread polls on after a completion at least: about what it costs to wake it.</summary>
    private static readonly long ShortLinger = Stopwatch.Frequency / 20_000;

    /// <summary>
    /// How long at most: where completions follow each other slower than that it sleeps in between.
    /// </summary>
    private static readonly long LongLinger = Stopwatch.Frequency / 500;

    private readonly Lock _gate = new();
    private readonly EndpointTable _endpoints;
    private readonly CompletionQueue _completions;
    private readonly Thread _thread;
    private readonly int _wake;
    private volatile bool _closing;
    private volatile PortInfo _port;
    private volatile VerbsException? _fault;
    private bool _stopped;

    private CardLife(VerbsDevice device, CompletionQueue completions, PortInfo port, GidChoice gid, int wake, int most)
    {
        Device = device;
        _completions = completions;
        _port = port;
        Gid = gid;
        _wake = wake;
        _endpoints = new EndpointTable(most);
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = $"mesh-{device.Name}" };
    }

    /// <summary>The device.</summary>
    public VerbsDevice Device { get; }

    /// <summary>The port as it was last seen.</summary>
    public PortInfo Port => _port;

    /// <summary>The GID that packets come from, and why that one.</summary>
    public GidChoice Gid { get; private set; }

    /// <summary>Whether the port moves data.</summary>
    public bool IsUp => !_closing && _port.State == PortState.Active;

    /// <summary>Whether it has been given up: nothing new is made on it.</summary>
    public bool IsClosing => _closing;

    /// <summary>Why its completions can no longer be taken, so that it is lost; null: they are.</summary>
    public VerbsException? Fault => _fault;

    /// <summary>Opens a device, and starts to take its completions.</summary>
    /// <returns>
    /// Null with a reason: InvalidArgument where the options ask of the device what it has not, else Unavailable.
    /// </returns>
    public static CardLife? Open(string name, RdmaOptions options, GidWish wish, out MeshError? refused)
    {
        refused = null;
        VerbsDevice? device = null;
        CompletionQueue? completions = null;
        int wake = -1;
        try
        {
            device = VerbsDevice.Open(name, out string? reason);
            if (device is null)
                refused = Refusal(MeshErrorCode.Unavailable, reason!);
            else if (options.Port > device.Limits.PortCount)
                refused = Refusal(MeshErrorCode.InvalidArgument, PortFault(name, options.Port, device.Limits));
            if (device is null || refused is not null)
                return null;

            var port = device.Port((byte)options.Port);
            var gid = GidOf(device, port, wish);
            if (!gid.Succeeded)
            {
                // What is missing may come, but not where it was asked for by number.
                refused = Refusal(wish.Index is null ? MeshErrorCode.Unavailable : MeshErrorCode.InvalidArgument,
                    $"{name}: {gid.Error!.Message}");
                return null;
            }

            int depth = Math.Min(device.Limits.MaxCqe, EndpointTable.Most * options.QueueDepth);
            completions = device.CreateCompletionQueue(depth);
            wake = LibC.eventfd(0, LibC.EFD_CLOEXEC);
            var life = new CardLife(device, completions, port, gid.Value, wake,
                Math.Min(EndpointTable.Most, depth / options.QueueDepth));
            (device, completions, wake) = (null, null, -1);
            life._thread.Start();
            return life;
        }
        catch (VerbsException e)
        {
            refused = Refusal(MeshErrorCode.Unavailable, $"{name}: {e.Message}");
            return null;
        }
        finally
        {
            completions?.Dispose();
            device?.Dispose();
            if (wake >= 0)
                _ = LibC.close(wake);
        }
    }

    /// <summary>Looks at port and GID again, after an event; false: the device is gone.</summary>
    public bool TryRefresh(int number, GidWish wish)
    {
        try
        {
            _port = Device.Port((byte)number);
            var gid = GidOf(Device, _port, wish);
            if (gid.Succeeded)
                Gid = gid.Value;
            return true;
        }
        catch (VerbsException)
        {
            return false;
        }
    }

    /// <summary>
    /// Makes a queue pair whose completions go to <paramref name="peer"/>; null when the card has as many as it can.
    /// </summary>
    /// <exception cref="VerbsException">Refused by the device.</exception>
    public Endpoint? Create(RdmaPeer peer, int rail, int remoteCard, RdmaOptions options)
    {
        lock (_gate)
        {
            if (_closing || !_endpoints.HasRoom)
                return null;
            int depth = Math.Min(options.QueueDepth, Device.Limits.MaxQpWr);
            var pair = Device.CreateQueuePair(_completions, new QueuePairShape(depth));
            return _endpoints.Add(pair, id => new Endpoint(id, this, pair, depth, peer, rail, remoteCard));
        }
    }

    /// <summary>Ends a queue pair: nothing it was given touches memory any more once this returns.</summary>
    public void Destroy(Endpoint endpoint)
    {
        endpoint.Pair.Dispose();
        lock (_gate)
            _endpoints.Remove(endpoint);
    }

    /// <summary>No more is made on it; what there is goes on until it is destroyed.</summary>
    public void BeginClose() => _closing = true;

    /// <summary>Ends thread, queue and device. All that was made on it has been destroyed.</summary>
    public void Close()
    {
        _closing = true;
        ulong one = 1;
        _ = LibC.write(_wake, &one, sizeof(ulong));
        _thread.Join();
        _ = LibC.close(_wake);
        _completions.Dispose();
        Device.Dispose();
    }

    private static MeshError Refusal(MeshErrorCode code, string reason) => new(code, "verbs:open", reason);

    private static string PortFault(string name, int port, DeviceLimits limits) =>
        $"rdma port is {port}; {name} has {(limits.PortCount == 1 ? "port 1" : $"1 to {limits.PortCount}")}: set one "
        + "that it has";

    private static MeshResult<GidChoice> GidOf(VerbsDevice device, PortInfo port, GidWish wish)
    {
        GidCandidate[] table = Array.ConvertAll([.. device.Gids(port.Number)], GidCandidate.Of);
        return GidChoice.Choose(table, port.GidTableLength, wish);
    }

    private void Run()
    {
        try
        {
            TakeUntilStopped();
        }
        catch (VerbsException e)
        {
            // Who looks after the cards finds it; what is on its way ends with its queue pairs.
            _fault = e;
        }
    }

    private void TakeUntilStopped()
    {
        Span<WorkCompletion> taken = stackalloc WorkCompletion[MostTakenAtOnce];
        long last = Stopwatch.GetTimestamp();
        long arrived = 0;
        long linger = ShortLinger;
        while (!Volatile.Read(ref _stopped))
        {
            int count = _completions.Poll(taken);
            if (count > 0)
            {
                Take(taken[..count]);
                last = Stopwatch.GetTimestamp();
                linger = LingerAfter(last - arrived);
                arrived = last;
            }
            else if (Stopwatch.GetTimestamp() - last < linger)
            {
                Thread.SpinWait(20);
            }
            else
            {
                last = Sleep(taken);
            }
        }
    }

    /// <summary>Twice the time between the last two completions, where that is worth it.</summary>
    private static long LingerAfter(long gap) =>
        gap > LongLinger ? ShortLinger : Math.Clamp(2 * gap, ShortLinger, LongLinger);

    /// <summary>Sleeps until the card or a close wakes us; when that was.</summary>
    private long Sleep(Span<WorkCompletion> taken)
    {
        _completions.Arm();
        // What came before it was armed wakes nobody.
        int count = _completions.Poll(taken);
        if (count > 0)
        {
            Take(taken[..count]);
            return Stopwatch.GetTimestamp();
        }

        var polled = stackalloc pollfd[2];
        polled[0] = new pollfd { fd = _completions.ChannelDescriptor, events = LibC.POLLIN };
        polled[1] = new pollfd { fd = _wake, events = LibC.POLLIN };
        _ = LibC.poll(polled, 2, -1);
        if (polled[1].revents != 0)
            _stopped = true;
        if (polled[0].revents != 0)
            _completions.DrainEvents();
        return Stopwatch.GetTimestamp();
    }

    private void Take(ReadOnlySpan<WorkCompletion> taken)
    {
        RdmaPeer? before = null;
        foreach (ref readonly var completion in taken)
        {
            if (_endpoints.Find(completion.WorkId, out int slot) is not { } endpoint)
                continue;
            endpoint.Peer.Completed(endpoint, slot, completion.Status);
            if (before is not null && before != endpoint.Peer)
                before.Pump();
            before = endpoint.Peer;
        }

        before?.Pump();
    }
}
