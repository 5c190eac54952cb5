// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>An engine that C has open, with its calls under way.</summary>
internal sealed class EngineHandle(TransferEngine engine)
{
    /// <summary>The engines of this process.</summary>
    public static HandleTable<EngineHandle> All { get; } = new(3);

    /// <summary>The engine.</summary>
    public TransferEngine Engine => engine;

    /// <summary>Its calls.</summary>
    public CallGate Calls { get; } = new();

    /// <summary>Ends the engine; those who call it meanwhile are answered first.</summary>
    public void Destroy()
    {
        if (!Calls.Close())
            return;
        Calls.Drain();
        engine.Dispose();
        Leftovers.Add();
    }
}

/// <summary>
/// What every function of transfer_engine_c.h goes through, as those of the store go through <see cref="Door"/>; its
/// numbers are the engine's.
/// </summary>
internal static class EngineDoor
{
    /// <summary>Runs a call without an engine.</summary>
    public static long Run(Func<long> body)
    {
        try
        {
            return HostProcess.IsForked ? Fail(TransferErrorCode.Context, HostProcess.ForkedText) : body();
        }
        catch (RefusedException refused)
        {
            return Fail(TransferErrorCode.InvalidArgument, refused.Message);
        }
        catch (TransferException failed)
        {
            return Of(failed.Error);
        }
        catch (Exception unexpected)
        {
            return Fail(TransferErrorCode.Context, $"{unexpected.GetType().Name}: {unexpected.Message}");
        }
    }

    /// <summary>Runs a call on an open engine.</summary>
    public static long With(nint handle, Func<TransferEngine, long> body) => Run(() =>
    {
        if (EngineHandle.All.Find(handle) is not { } open || !open.Calls.TryEnter())
            return Fail(TransferErrorCode.InvalidArgument, $"0x{handle:x} is no engine of this library that is open");
        try
        {
            return body(open.Engine);
        }
        finally
        {
            open.Calls.Leave();
        }
    });

    /// <summary>0, or the number of a failure whose text the thread remembers.</summary>
    public static long Of(TransferError? error) => error is null ? 0 : Fail(error.Code, error.Message);

    /// <summary>What a result says, or the number of its failure.</summary>
    public static long Of<T>(TransferResult<T> result, Func<T, long> value) =>
        result.Succeeded ? value(result.Value) : Of(result.Error);

    /// <summary>Remembers why, and returns the number.</summary>
    public static long Fail(TransferErrorCode code, string message)
    {
        LastError.Set(message);
        return (long)code;
    }
}
