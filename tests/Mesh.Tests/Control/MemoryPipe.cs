// SPDX-License-Identifier: Apache-2.0

using System.IO.Pipelines;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>One end of a connection within this process.</summary>
internal sealed class MemoryPipe : IPeerConnection
{
    private readonly Pipe _in;
    private readonly Pipe _out;
    private int _aborted;

    private MemoryPipe(Pipe incoming, Pipe outgoing)
    {
        _in = incoming;
        _out = outgoing;
    }

    public string RemoteEndpoint => "memory";

    /// <summary>Whether this end was closed at once.</summary>
    public bool Aborted => Volatile.Read(ref _aborted) != 0;

    public static (MemoryPipe A, MemoryPipe B) Pair()
    {
        var options = new PipeOptions(pauseWriterThreshold: 0);
        var one = new Pipe(options);
        var two = new Pipe(options);
        return (new MemoryPipe(one, two), new MemoryPipe(two, one));
    }

    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        if (Aborted)
            throw new PeerNetworkException("closed");
        var flushed = await _out.Writer.WriteAsync(bytes, cancel);
        if (flushed.IsCompleted)
            throw new PeerNetworkException("the other side has closed");
    }

    public async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        var read = await _in.Reader.ReadAsync(cancel);
        if (Aborted)
            throw new PeerNetworkException("closed");
        int length = (int)Math.Min(buffer.Length, read.Buffer.Length);
        var part = read.Buffer.Slice(0, length);
        int at = 0;
        foreach (var memory in part)
        {
            memory.CopyTo(buffer[at..]);
            at += memory.Length;
        }

        _in.Reader.AdvanceTo(part.End);
        return length;
    }

    public void Abort()
    {
        if (Interlocked.Exchange(ref _aborted, 1) != 0)
            return;
        _out.Writer.Complete();
        _in.Reader.CancelPendingRead();
    }

    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }
}
