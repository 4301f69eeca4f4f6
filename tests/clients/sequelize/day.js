// A working day with Sequelize over mysql2; prints what it found as JSON.
//     node day.js PORT DATABASE CA [tls]

const fs = require("fs");
const { DataTypes, Op, Sequelize, col, fn } = require("sequelize");

async function main() {
  const [port, database, ca, tls] = process.argv.slice(2);
  const ssl = tls ? { ca: fs.readFileSync(ca) } : undefined;
  const sequelize = new Sequelize(database, "root", "", {
    host: "127.0.0.1",
    port: Number(port),
    dialect: "mysql",
    logging: false,
    dialectOptions: ssl ? { ssl } : {},
  });
  const Shop = sequelize.define("Shop", {
    code: { type: DataTypes.STRING(20), primaryKey: true },
    city: { type: DataTypes.STRING(40), allowNull: false, defaultValue: "Ulm" },
    open: DataTypes.BOOLEAN,
    extra: DataTypes.JSON,
  });
  const Sale = sequelize.define(
    "Sale",
    {
      day: DataTypes.DATEONLY,
      price: DataTypes.DECIMAL(10, 2),
      kind: DataTypes.ENUM("cash", "card"),
      at: DataTypes.DATE(3),
    },
    { indexes: [{ fields: ["day"] }], timestamps: false },
  );
  Shop.hasMany(Sale, { foreignKey: "shop", constraints: false });
  Sale.belongsTo(Shop, { foreignKey: "shop", constraints: false });
  await sequelize.authenticate();
  await sequelize.sync();
  await sequelize.sync();

  const found = {};
  await Shop.bulkCreate([
    { code: "a", open: true, extra: { tags: ["x", "y"] } },
    { code: "b", city: "Bonn", open: false },
  ]);
  const sale = await Sale.create({ shop: "a", day: "2024-02-29", price: "1.50", kind: "cash", at: new Date(1.5e12 + 123) });
  await Sale.bulkCreate([
    { shop: "a", day: "2024-03-01", price: "2.25", kind: "card" },
    { shop: "b", day: "2024-02-29", price: "10", kind: "card" },
  ]);
  found.id = sale.id > 0;
  found.at = (await Sale.findByPk(sale.id)).at.getTime();
  found.sums = (
    await Sale.findAll({ attributes: ["shop", [fn("SUM", col("price")), "sum"]], group: ["shop"], order: ["shop"], raw: true })
  ).map((row) => [row.shop, row.sum]);
  found.with = (await Shop.findAll({ include: Sale, order: ["code"] })).map((shop) => shop.Sales.length);
  found.leap = await Sale.count({ where: { day: { [Op.between]: ["2024-02-01", "2024-02-29"] } } });
  found.json = (await Shop.findByPk("a")).extra;
  await Shop.upsert({ code: "a", city: "Kiel", open: true });
  found.upserted = (await Shop.findByPk("a")).city;
  found.made = (await Shop.findOrCreate({ where: { code: "c" } }))[1];
  found.again = (await Shop.findOrCreate({ where: { code: "c" } }))[1];
  try {
    await Shop.create({ code: "a" });
  } catch (error) {
    found.duplicate = error.name;
  }
  try {
    await sequelize.transaction(async (transaction) => {
      await Sale.destroy({ where: {}, transaction });
      throw new Error("no");
    });
  } catch (error) {
    found.rolledBack = [error.message, await Sale.count()];
  }
  await sequelize.transaction(async (transaction) => {
    const rows = await Sale.findAll({ where: { kind: "card" }, lock: transaction.LOCK.UPDATE, transaction });
    for (const row of rows) await row.increment("price", { by: 1, transaction });
  });
  found.incremented = await Sale.sum("price");
  const changes = sequelize.getQueryInterface();
  await changes.addColumn("Sales", "note", { type: DataTypes.STRING, defaultValue: "-" });
  await changes.addIndex("Sales", ["note"]);
  await changes.renameColumn("Sales", "note", "remark");
  found.columns = Object.keys(await changes.describeTable("Sales"));
  found.remarks = await Sale.count({ where: sequelize.literal("remark = '-'") });
  found.indexes = (await changes.showIndex("Sales")).map((index) => index.name).sort();
  await changes.removeColumn("Sales", "remark");
  found.tables = (await changes.showAllTables()).map((table) => table.tableName || table).sort();
  await sequelize.close();
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
