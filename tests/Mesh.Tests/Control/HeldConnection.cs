// SPDX-License-Identifier: Apache-2.0

using System.Threading.Channels;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>A connection whose sends end when the test says so, and that keeps what was sent.</summary>
internal sealed class HeldConnection : IPeerConnection
{
    private readonly Channel<byte[]> _incoming = Channel.CreateUnbounded<byte[]>();
    private readonly List<byte[]> _sends = [];
    private readonly SemaphoreSlim _begun = new(0);
    private int _senders;

    /// <summary>Called on the sender's thread; what it returns ends the send.</summary>
    public Func<byte[], CancellationToken, ValueTask> OnSend { get; set; } = (_, _) => ValueTask.CompletedTask;

    /// <summary>Whether two sends were under way at one time.</summary>
    public bool Overlapped { get; private set; }

    public bool Aborted { get; private set; }

    public string RemoteEndpoint => "held";

    /// <summary>What each send had, in order.</summary>
    public byte[][] Sends
    {
        get
        {
            lock (_sends)
                return [.. _sends];
        }
    }

    /// <summary>From now on sends end with the task returned here.</summary>
    public TaskCompletionSource Hold()
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        OnSend = (_, cancel) => new ValueTask(held.Task.WaitAsync(cancel));
        return held;
    }

    /// <summary>Waits for one more send to begin.</summary>
    public Task BegunAsync() => _begun.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);

    /// <summary>Bytes that are received next.</summary>
    public void Arrive(byte[] bytes) => _incoming.Writer.TryWrite(bytes);

    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        if (Interlocked.Increment(ref _senders) > 1)
            Overlapped = true;
        try
        {
            if (Aborted)
                throw new PeerNetworkException("closed");
            byte[] copy = bytes.ToArray();
            _begun.Release();
            await OnSend(copy, cancel);
            Assert.True(bytes.Span.SequenceEqual(copy), "the bytes changed while they were sent");
            lock (_sends)
                _sends.Add(copy);
        }
        finally
        {
            Interlocked.Decrement(ref _senders);
        }
    }

    public async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        byte[] bytes = await _incoming.Reader.ReadAsync(cancel);
        bytes.CopyTo(buffer);
        return bytes.Length;
    }

    public void Abort() => Aborted = true;

    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }
}
