// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>What the tests of the engine share: an engine here, and memory of it.</summary>
public abstract class EngineTests : IDisposable
{
    private readonly List<NativeBytes> _memory = [];

    /// <summary>Longest time of a transfer that is to succeed on a busy machine.</summary>
    protected static TimeSpan Long { get; } = TimeSpan.FromSeconds(120);

    private protected TransferEngine Engine { get; private set; } = Open();

    private protected static TransferEngine Open(TransferTransports transports = TransferTransports.All,
        TimeSpan? timeout = null, string name = "127.0.0.1") => TransferEngine.Create(new TransferEngineOptions
        {
            LocalName = name,
            Transports = transports,
            TransferTimeout = timeout ?? Long,
        }).Value;

    /// <summary>Takes another engine for the test's own.</summary>
    private protected TransferEngine Use(TransferEngine other)
    {
        Engine.Dispose();
        return Engine = other;
    }

    /// <summary>Memory that is registered with the engine, filled by a seed.</summary>
    private protected NativeBytes Memory(long length, int seed = 0)
    {
        var memory = new NativeBytes(length);
        _memory.Add(memory);
        Assert.Null(Engine.Register(memory.Address, (ulong)length));
        NativeBytes.Fill(memory.Address, length, seed);
        return memory;
    }

    private protected TransferStatus Move(TransferOpcode opcode, nint source, int segment, ulong target, long length) =>
        Engine.Transfer([new TransferRequest(opcode, source, segment, target, (ulong)length)]).Value;

    public virtual void Dispose()
    {
        Engine.Dispose();
        _memory.ForEach(memory => memory.Dispose());
        GC.SuppressFinalize(this);
    }
}
