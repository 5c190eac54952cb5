// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>
/// What a handle stands for: a client, once it is set up, and the calls that are under way. Closing refuses new calls,
/// cancels those under way and waits for them; the client goes with the last view. Thread-safe.
/// </summary>
internal sealed class Session(HandleKind kind)
{
    /// <summary>What a thread has copied before another one would have woken, in bytes.</summary>
    private const long MostAtReceiver = 64 * 1024;

    private readonly CancellationTokenSource _stop = new();
    private readonly CallGate _calls = new();
    private readonly Lock _setup = new();
    private int _holds = 1;
    private LiveMesh? _live;

    /// <summary>Which functions it is for.</summary>
    public HandleKind Kind => kind;

    /// <summary>Memory that the host has registered.</summary>
    public RegisteredMemory Memory { get; } = new();

    /// <summary>Whether it is set up.</summary>
    public bool IsLive => Volatile.Read(ref _live) is not null;

    /// <summary>The client and what it was set up with.</summary>
    /// <exception cref="RefusedException">It is not set up.</exception>
    public LiveMesh Live => Volatile.Read(ref _live)
        ?? throw new RefusedException(ErrorCodes.InvalidParams, "the store is not set up");

    /// <summary>Begins a call; false: the session is closed.</summary>
    public bool TryEnter() => _calls.TryEnter();

    /// <summary>Ends a call.</summary>
    public void Leave() => _calls.Leave();

    /// <summary>Sets it up, once; a failure leaves it as it was.</summary>
    public long SetUp(Func<CancellationToken, Task<MeshResult<LiveMesh>>> open)
    {
        if (!_setup.TryEnter())
            return Door.Fail(ErrorCodes.InvalidParams, "the store is being set up by another thread");
        try
        {
            if (IsLive)
                return Door.Fail(ErrorCodes.InvalidParams, "the store is set up already");
            var opened = open(_stop.Token).GetAwaiter().GetResult();
            if (opened.Error is { } error)
                return ErrorCodes.Of(error);
            Volatile.Write(ref _live, opened.Value);
            return ErrorCodes.Ok;
        }
        finally
        {
            _setup.Exit();
        }
    }

    /// <summary>
    /// Starts a call and waits for it: to its end, or as long as the session's slice, after which it is the thread's
    /// pending call. Nothing touches the caller's memory once it has returned anything but Pending.
    /// </summary>
    /// <param name="start">Starts it.</param>
    /// <param name="finish">What to return, from its result; writes what else the caller gets.</param>
    /// <param name="bytes">What it may copy; one that may copy little goes on where its answer was received.</param>
    public long Wait<T>(Func<CancellationToken, Task<T>> start, Func<T, long> finish, long bytes) =>
        bytes > MostAtReceiver
            ? Wait(start, finish)
            : Wait(cancel => ReceiverScheduler.Start(start, cancel), finish);

    /// <summary>The same for a call of which nobody knows what it copies.</summary>
    public long Wait<T>(Func<CancellationToken, Task<T>> start, Func<T, long> finish)
    {
        int slice = Live.SliceMilliseconds;
        if (slice == 0 && !Interrupt.IsSet)
            return finish(TaskWait.ResultOf(start(_stop.Token)));
        return OpenCall.Begin(this, start, finish, _stop.Token, slice);
    }

    /// <summary>Keeps the client beyond the handle, for a view.</summary>
    public void Hold() => Interlocked.Increment(ref _holds);

    /// <summary>Lets go of it; the last one ends the client.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _holds) == 0)
            Interlocked.Exchange(ref _live, null)?.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }

    /// <summary>Closes it; false when it was closed.</summary>
    public bool Close()
    {
        if (!_calls.Close())
            return false;
        _stop.Cancel();
        _calls.Drain();
        Release();
        Leftovers.Add();
        return true;
    }
}
